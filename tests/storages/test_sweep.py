"""The sweep deletes tokens that can never stop a run again, and no others, on every storage."""

from __future__ import annotations

import datetime
import itertools
import pickle
import time
import types
import uuid

import huey as huey_package
import pytest
from huey.registry import Message

from huey_signals_kit import install_handlers
from huey_signals_kit.inflight.tasks import RunningTask
from huey_signals_kit.jobs import token_sweeps
from huey_signals_kit.ledger import Heartbeat, open_ledger
from huey_signals_kit.runtime.process_id import ProcessId, this_process
from huey_signals_kit.runtime.scheduler import scheduler
from huey_signals_kit.signals import sweep_finished
from huey_signals_kit.store import UPKEEP, open_kit_store
from huey_signals_kit.store.tokens import ID_SIZE, Tokens, read_tokens
from huey_signals_kit.upkeep import SweepStopped, _mark_and_delete, sweep_tokens
from huey_signals_kit.upkeep._live_ids import LiveTaskIds
from huey_signals_kit.upkeep.tokens import marks, slices, sweeper
from huey_signals_kit.upkeep.tokens import sweep as sweep_module
from tests.support import delete_kit_data, put_kit_data, run_all, store, tokens, wait_until

chord_only = pytest.mark.skipif(not hasattr(huey_package, "chord"), reason="chords came in 3.0")
DAY = 86_400.0
NOW = 1_700_000_000.0


def sweep(huey, at, **options):
    """A sweep at *at* seconds from the beginning."""
    return sweep_tokens(huey, clock=lambda: NOW + at, **options)


def sweep_twice(huey, **options):
    """Two sweeps that are far enough apart; the report of the second."""
    sweep(huey, 0, **options)
    return sweep(huey, DAY + 1, **options)


def declare(huey):
    ran = []

    @huey.task()
    def job(n=0, *_):
        ran.append(n)
        return n

    @huey.task()
    def failing(*_):
        raise ValueError("failed")

    return job, failing, ran


def after_the_run(huey, job):
    """Leaks a token: revoked when all is over."""
    done = job()
    run_all(huey)
    huey.revoke_by_id(done.id)
    return done.id


def by_result(huey, job):
    """The same with ``Result.revoke()``, which asks for one skip only."""
    done = job()
    run_all(huey)
    done.revoke()
    return done.id


def until_later(huey, job):
    """The same, revoked until a moment."""
    done = job()
    run_all(huey)
    huey.revoke_by_id(done.id, revoke_until=datetime.datetime(2099, 1, 1))
    return done.id


def after_a_flush(huey, job):
    """Revoked in time, but the queue was flushed."""
    waiting = job()
    huey.revoke_by_id(waiting.id)
    huey.storage.flush_queue()
    return waiting.id


def by_a_reschedule(huey, job):
    """A finished task was rescheduled: Huey revokes its old id."""
    done = job()
    run_all(huey)
    done.reschedule(delay=3600)
    return done.id


LEAKS = [after_the_run, by_result, until_later, after_a_flush, by_a_reschedule]


@pytest.mark.parametrize("leak", LEAKS)
def test_an_orphan_is_marked_once_and_deleted_a_day_later(any_huey, leak):
    """Every leak that no signal sees, and nothing of it is left, marks included."""
    job, *_ = declare(any_huey)
    leaked = leak(any_huey, job)
    before = {key for key in store(any_huey) if key != f"r:{leaked}"}
    first, second = sweep(any_huey, 0), sweep(any_huey, DAY + 1)
    assert (first.scanned, first.marked, first.deleted) == (1, 1, 0)
    assert (second.scanned, second.marked, second.deleted) == (1, 0, 1)
    assert {key for key in store(any_huey) if "ledger" not in key} == before


def test_a_second_look_too_soon_deletes_nothing(any_huey):
    """However many there are within a day, and the first one counts."""
    job, *_ = declare(any_huey)
    leaked = after_the_run(any_huey, job)
    for hour in range(24):
        assert sweep(any_huey, hour * 3600).deleted == 0
    assert tokens(any_huey) == {f"r:{leaked}"}
    assert sweep(any_huey, DAY + 1).deleted == 1


def test_a_dry_run_changes_nothing(any_huey):
    """It neither deletes nor marks, and says what would be."""
    job, *_ = declare(any_huey)
    after_the_run(any_huey, job)
    before = store(any_huey)
    assert sweep(any_huey, 0, dry_run=True).marked == 1
    assert store(any_huey) == before
    sweep(any_huey, 0)
    before = store(any_huey)
    assert sweep(any_huey, DAY + 1, dry_run=True).deleted == 1
    assert store(any_huey) == before
    assert sweep(any_huey, DAY + 1).deleted == 1


def in_the_queue(huey, job, failing):
    return job().id


def in_the_schedule(huey, job, failing):
    return job.schedule(delay=3600).id


def next_stage(huey, job, failing):
    stages = huey.enqueue(job.s().then(job))
    return stages._results[1].id


def stage_after_the_next(huey, job, failing):
    head = job.s().then(job).then(job).then(job)
    head.eta = datetime.datetime(2099, 1, 1)
    huey.enqueue(head)
    run_all(huey)  # which puts it in the schedule
    return head.on_complete.on_complete.on_complete.id


def error_handler(huey, job, failing):
    head = failing.s().error(job)
    huey.enqueue(head)
    return head.on_error.id


def error_handler_of_a_later_stage(huey, job, failing):
    head = job.s().then(failing.s().error(job.s().then(job)))
    huey.enqueue(head)
    return head.on_complete.on_error.on_complete.id


def enqueue_chord(huey, job, callback):
    huey.enqueue(huey_package.chord([job.s(), job.s()], callback))


def chord_callback(huey, job, failing):
    callback = job.s()
    enqueue_chord(huey, job, callback)
    return callback.id


def stage_after_a_chord(huey, job, failing):
    callback = job.s().then(job)
    enqueue_chord(huey, job, callback)
    return callback.on_complete.id


def chord_callback_with_one_member_left(huey, job, failing):
    callback = job.s()
    enqueue_chord(huey, job, callback)
    huey.execute(huey.dequeue())
    return callback.id


def chord_member(huey, job, failing):
    member = job.s()
    huey.enqueue(huey_package.chord([job.s(), member], job.s()))
    return member.id


PLACES = [
    in_the_queue,
    in_the_schedule,
    next_stage,
    stage_after_the_next,
    error_handler,
    error_handler_of_a_later_stage,
    *(
        pytest.param(each, marks=chord_only)
        for each in (
            chord_callback,
            stage_after_a_chord,
            chord_callback_with_one_member_left,
            chord_member,
        )
    ),
]


@pytest.mark.parametrize("place", PLACES)
def test_a_token_is_kept_while_its_task_stands_anywhere(any_huey, place):
    """In each place, at any depth; and deleted when the place is gone, after two more looks."""
    job, failing, _ = declare(any_huey)
    task_id = place(any_huey, job, failing)
    any_huey.revoke_by_id(task_id)
    for day in range(3):
        report = sweep(any_huey, day * (DAY + 1))
        assert (report.scanned, report.live, report.deleted) == (1, 1, 0)
    any_huey.storage.flush_queue()
    any_huey.storage.flush_schedule()
    assert sweep(any_huey, 4 * DAY).marked == 1
    assert sweep(any_huey, 6 * DAY).deleted == 1


def test_one_look_that_finds_it_alive_begins_all_anew(any_huey):
    """A task object that an application has kept, and enqueues after the first look."""
    job, *_ = declare(any_huey)
    kept = job.s()
    any_huey.revoke(kept)
    assert sweep(any_huey, 0).marked == 1
    any_huey.enqueue(kept)
    assert sweep(any_huey, DAY + 1).live == 1
    any_huey.storage.flush_queue()
    assert sweep(any_huey, 2 * DAY + 2).marked == 1
    assert tokens(any_huey) == {kept.revoke_id}
    assert sweep(any_huey, 3 * DAY + 3).deleted == 1


def test_one_look_that_finds_no_token_begins_all_anew(any_huey):
    """Restored and revoked again: two looks at the token that there is now."""
    job, *_ = declare(any_huey)
    leaked = after_the_run(any_huey, job)
    sweep(any_huey, 0)
    any_huey.restore_by_id(leaked)
    sweep(any_huey, DAY)
    any_huey.revoke_by_id(leaked)
    assert sweep(any_huey, 2 * DAY).marked == 1
    assert sweep(any_huey, 3 * DAY + 1).deleted == 1


@pytest.mark.parametrize(
    "task_id",
    [
        "nightly",
        "9ea5a1dc-e672-11f1-9b29-02fc00000001",  # of another version than Huey's
        "0B6A1F6E-2F7C-4D3B-9A58-0123456789AB",
    ],
)
def test_an_id_that_huey_has_not_made_is_never_deleted(any_huey, task_id):
    """Its task may be enqueued any day."""
    any_huey.revoke_by_id(task_id)
    assert sweep_twice(any_huey).custom == 1
    assert tokens(any_huey) == {f"r:{task_id}"}


def test_a_pause_switch_is_never_deleted(any_huey):
    """Nor is it counted among the tokens."""
    job, *_ = declare(any_huey)
    any_huey.revoke_all(job.task_class)
    assert sweep_twice(any_huey).scanned == 0
    assert len(tokens(any_huey)) == 1


def test_a_message_that_cannot_be_read_stops_deletions(any_huey):
    """Who knows what stands in it: nothing is marked or deleted until it has gone."""
    job, *_ = declare(any_huey)
    after_the_run(any_huey, job)
    sweep(any_huey, 0)
    after_the_run(any_huey, job)
    any_huey.storage.enqueue(b"\x80\x05broken")
    report = sweep(any_huey, DAY + 1)
    assert (report.deleted, report.unreadable, report.marked, report.undecided) == (0, 1, 1, 1)
    assert "cannot be read" in report.stopped
    any_huey.storage.flush_queue()
    report = sweep(any_huey, DAY + 2)
    assert (report.deleted, report.marked, report.stopped) == (1, 1, "")


class Foreign:
    """A class that the sweeping process is made unable to import."""


def test_a_message_full_of_foreign_classes_is_read_like_any_other(any_huey, monkeypatch):
    """Their ids count, and their classes are never looked for."""
    job, *_ = declare(any_huey)
    leaked = after_the_run(any_huey, job)
    head = job.s(Foreign()).then(job)
    any_huey.enqueue(head)
    any_huey.revoke(head.on_complete)
    monkeypatch.delattr(f"{__name__}.Foreign", raising=False)
    report = sweep_twice(any_huey)
    assert (report.live, report.deleted, report.unreadable) == (1, 1, 0)
    assert f"r:{leaked}" not in tokens(any_huey)


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("the value has run code",)


@pytest.mark.parametrize("value", [b"", b"\x80", b"junk", pickle.dumps(3), pickle.dumps(Trap())])
def test_what_does_not_read_as_a_token_is_left(any_huey, value):
    """Under the key of one: counted, never run and never deleted."""
    key = f"r:{uuid.uuid4()}"
    any_huey.storage.put_data(key, value)
    report = sweep_twice(any_huey)
    assert (report.scanned, report.undecided, report.deleted) == (1, 1, 0)
    assert key in store(any_huey)


@pytest.mark.parametrize("value", [b"", b"junk", b"1" + b"\xff" * 30])
def test_broken_marks_count_as_none(any_huey, value):
    """They delay a deletion by two looks, and are written anew."""
    job, *_ = declare(any_huey)
    leaked = after_the_run(any_huey, job)
    put_kit_data(any_huey, f"marks:{leaked[:2]}", value)
    assert sweep(any_huey, 0).marked == 1
    assert sweep(any_huey, DAY + 1).deleted == 1


def test_a_first_look_in_the_future_counts_from_now(any_huey):
    """A clock was put back: the token waits as long as any."""
    job, *_ = declare(any_huey)
    after_the_run(any_huey, job)
    sweep(any_huey, 1000 * DAY)
    assert sweep(any_huey, 0).marked == 1
    assert sweep(any_huey, DAY - 60).deleted == 0
    assert sweep(any_huey, DAY + 1).deleted == 1


def test_real_results_and_locks_stay(any_huey):
    """Only tokens are looked at."""
    job, *_ = declare(any_huey)
    result = job(7)
    run_all(any_huey)
    any_huey.lock_task("held").__enter__()
    before = store(any_huey)
    sweep_twice(any_huey)
    assert {key: store(any_huey)[key] for key in before} == before
    assert result.get() == 7


def test_every_token_is_one_of_five(any_huey):
    """The numbers of a report add up."""
    job, *_ = declare(any_huey)
    waiting = job()
    any_huey.revoke_by_id(waiting.id)
    any_huey.revoke_by_id("custom")
    for _ in range(20):
        any_huey.revoke_by_id(str(uuid.uuid4()))
    sweep(any_huey, 0)
    for _ in range(10):
        any_huey.revoke_by_id(str(uuid.uuid4()))
    any_huey.storage.put_data(f"r:{uuid.uuid4()}", b"junk")
    report = sweep(any_huey, DAY + 1)
    assert (report.live, report.custom, report.marked, report.deleted) == (1, 1, 10, 20)
    assert report.undecided == 1
    assert report.scanned == 33


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"min_age": "1"}, TypeError, "min_age= of sweep_tokens() takes a number of seconds"),
        ({"min_age": float("nan")}, ValueError, "got nan"),
        ({"min_age": 14.9}, ValueError, "at least 15 seconds, got 14.9"),
        ({"min_age": -1}, ValueError, "got -1"),
        ({"dry_run": "no"}, TypeError, "dry_run= of sweep_tokens() takes True or False"),
    ],
)
def test_bad_input_is_refused_by_name(make_huey, options, error, text):
    """With the rule, and why it is one."""
    with pytest.raises(error) as refused:
        sweep_tokens(make_huey(), **options)
    assert text in str(refused.value)


def test_it_takes_a_huey():
    """And says what it got."""
    with pytest.raises(TypeError, match=r"sweep_tokens\(\) takes a Huey, got 3"):
        sweep_tokens(3)


def test_a_storage_that_goes_away_is_reported_with_what_was_done(any_huey, monkeypatch):
    """Half way: the exception has the report, and the next sweep goes on with the marks."""
    monkeypatch.setattr(sweep_module, "DELETE_BATCH", 1)
    leak(any_huey, 5)
    sweep(any_huey, 0)
    delete, calls = sweep_module.delete_tokens, []

    def once(*given):
        calls.append(given)
        if len(calls) > 1:
            raise OSError("the storage has gone away")
        return delete(*given)

    with monkeypatch.context() as patched:
        patched.setattr(sweep_module, "delete_tokens", once)
        with pytest.raises(SweepStopped, match="it has deleted 1: OSError") as stopped:
            sweep(any_huey, DAY + 1)
    report = stopped.value.report
    assert (report.deleted, report.undecided) == (1, 4)
    assert "has gone away" in report.stopped
    # The one that was about to be deleted has lost its mark.
    after = sweep(any_huey, DAY + 2)
    assert (after.deleted, after.marked) == (3, 1)
    assert sweep(any_huey, 2 * DAY + 3).deleted == 1


def leak(huey, count):
    """So many tokens of nobody."""
    for _ in range(count):
        huey.revoke_by_id(str(uuid.uuid4()))


def in_small_batches(kit_store):
    """Read the tokens as `read_tokens` does, four at a time."""
    for generated, others in read_tokens(kit_store):
        for value, ids in generated.items():
            for start in range(0, len(ids), 4 * ID_SIZE):
                yield Tokens({value: ids[start : start + 4 * ID_SIZE]}, [])
        yield Tokens({}, others)


def test_slices_do_not_change_what_is_found(any_huey, monkeypatch):
    """Some tokens at a time, each slice judged by itself; slices share the buckets of marks."""
    monkeypatch.setattr(sweep_module, "read_tokens", in_small_batches)
    monkeypatch.setattr(sweep_module, "SLICE_SIZE", 7)
    monkeypatch.setattr(slices, "MAX_VALUES", 3)
    job, *_ = declare(any_huey)
    leak(any_huey, 130)
    waiting = job()
    any_huey.revoke_by_id(waiting.id)
    for hour in range(10):
        until = datetime.datetime(2099, 1, 1, hour)
        any_huey.revoke_by_id(str(uuid.uuid4()), revoke_until=until)
    first, soon, second = (sweep(any_huey, at) for at in (0, 60, DAY))
    assert (first.scanned, first.live, first.marked) == (141, 1, 140)
    assert (soon.scanned, soon.live, soon.marked, soon.deleted) == (141, 1, 140, 0)
    assert (second.scanned, second.live, second.deleted) == (141, 1, 140)
    assert tokens(any_huey) == {f"r:{waiting.id}"}


def test_a_running_task_keeps_its_tokens(any_huey):
    """As its process's heartbeat says, with what is nested in it, until the process has gone."""
    ids = [str(uuid.uuid4()) for _ in range(3)]
    for each in ids:
        any_huey.revoke_by_id(each)
    ledger = open_ledger(any_huey)
    beat = Heartbeat(
        "one", this_process(), running=(RunningTask(ids[0], "some.task", 0.0, (ids[1],)),)
    )
    ledger.write(beat)
    report = sweep_twice(any_huey)
    assert (report.live, report.deleted) == (2, 1)
    ledger.deregister(beat)
    sweep(any_huey, 3 * DAY)
    assert sweep(any_huey, 5 * DAY).deleted == 2


def test_a_heartbeat_that_cannot_be_read_stops_deletions(make_huey):
    """Nobody knows what that process runs."""
    huey = make_huey("sqlite")
    leak(huey, 1)
    sweep(huey, 0)
    put_kit_data(huey, "process:other", b"of another version")
    report = sweep(huey, DAY + 1)
    assert (report.deleted, report.scanned) == (0, 1)
    assert "process:other" in report.stopped
    delete_kit_data(huey, "process:other")
    assert sweep(huey, DAY + 2).deleted == 1


def test_nothing_is_deleted_until_every_process_has_said_what_it_runs(make_huey, monkeypatch):
    """One that is silent is waited for, and if it stays so the tokens and their marks stay."""
    monkeypatch.setattr(sweeper, "_POLL_SECONDS", 0.01)
    huey = make_huey("sqlite")
    leak(huey, 1)
    sweep(huey, 0)

    def write_beat(number):
        place = ProcessId("elsewhere", "another space", 1, 1)
        beat = Heartbeat("silent", place, "thread", sequence=number)
        put_kit_data(huey, "process:silent", beat.dump())

    write_beat(1)
    with monkeypatch.context() as impatient:
        impatient.setattr(sweeper, "HEARTBEAT_WAIT_SECONDS", 0.1)
        report = sweep(huey, DAY + 1)
    assert (report.deleted, report.undecided) == (0, 1)
    assert report.stopped.startswith("process 1 on elsewhere (record silent) did not write")
    assert "run: huey-signals forget HUEY --record ID --apply" in report.stopped
    beats = itertools.count(2)

    def beaten(count):
        write_beat(next(beats))

    clock = types.SimpleNamespace(monotonic=time.monotonic, sleep=beaten)
    monkeypatch.setattr(sweeper, "time", clock)
    assert sweep(huey, DAY + 60).deleted == 1
    assert next(beats) == 3


def test_a_silent_process_is_waited_for_once(make_huey, monkeypatch):
    """Not again for each slice, or the sweep of many tokens would not end."""
    huey = make_huey("sqlite")
    monkeypatch.setattr(sweep_module, "SLICE_SIZE", 7)
    leak(huey, 30)
    sweep(huey, 0)
    waited = []
    monkeypatch.setattr(
        sweeper.Sweeper, "wait_for_heartbeats", lambda sweeper: waited.append(1) or "silent"
    )
    report = sweep(huey, DAY + 1)
    assert (report.deleted, report.undecided, report.stopped) == (0, 30, "silent")
    assert waited == [1]
    monkeypatch.undo()
    assert sweep(huey, DAY + 2).deleted == 30


def test_one_that_has_changed_since_it_was_read_stays(any_huey, monkeypatch):
    """Somebody has revoked it anew, and means something by it."""
    leak(any_huey, 1)
    sweep(any_huey, 0)
    (key,) = tokens(any_huey)
    look = LiveTaskIds.refresh

    def changed(places, passes=2):
        look(places, passes)
        any_huey.revoke_by_id(key[2:], revoke_until=datetime.datetime(2099, 1, 1))

    with monkeypatch.context() as patched:
        patched.setattr(LiveTaskIds, "refresh", changed)
        report = sweep(any_huey, DAY + 1)
    assert (report.deleted, report.undecided) == (0, 1)
    assert tokens(any_huey) == {key}


def test_a_token_seen_alive_loses_its_mark_at_once(any_huey, monkeypatch):
    """Also when that sweep does not come to its end."""
    job, *_ = declare(any_huey)
    kept = job.s()
    any_huey.revoke(kept)
    sweep(any_huey, 0)
    any_huey.enqueue(kept)

    def gone(*_):
        raise OSError("the storage has gone away")

    with monkeypatch.context() as patched:
        patched.setattr(marks, "drop_unseen", gone)
        with pytest.raises(SweepStopped):
            sweep(any_huey, DAY + 1)
    any_huey.storage.flush_queue()
    assert sweep(any_huey, 3 * DAY).marked == 1


@pytest.mark.parametrize("fields", [12, 15, 18])
def test_messages_of_other_versions_are_read(any_huey, fields):
    """Huey has added fields to the end of a message, and will."""
    nested, own = str(uuid.uuid4()), str(uuid.uuid4())
    inner = OfVersion(nested, fields)
    any_huey.storage.enqueue(any_huey.serializer.serialize(OfVersion(own, fields, inner)))
    any_huey.revoke_by_id(nested)
    any_huey.revoke_by_id(own)
    report = sweep_twice(any_huey)
    assert (report.live, report.unreadable) == (2, 0)


class OfVersion:
    """Pickles as a message with so many fields."""

    def __init__(self, task_id, fields, on_complete=None):
        known = (task_id, "some.task", None, 0, 0, None, (), {}, on_complete, None, None, None)
        self.fields = (*known, *[None] * (fields - len(known)))

    def __reduce__(self):
        return Message, self.fields


def test_one_process_sweeps_at_a_time(any_huey):
    """Another one finds that out, does nothing and says so; a dry run is always possible."""
    leak(any_huey, 3)
    inner = []

    def meanwhile(report):
        inner.append(sweep(any_huey, 0))
        inner.append(sweep(any_huey, 0, dry_run=True))

    assert sweep(any_huey, 0, on_progress=meanwhile).marked == 3
    assert inner[0].stopped == "another process is sweeping"
    assert (inner[0].scanned, inner[1].marked) == (0, 3)


def test_a_sweep_that_was_held_up_for_too_long_ends(make_huey, monkeypatch):
    """Another one may have begun: the lease is asked for before each step."""
    huey = make_huey("sqlite")
    leak(huey, 3)
    monkeypatch.setattr(sweeper, "LEASE_SECONDS", 0)

    def taken(report):
        delete_kit_data(huey, "lease:sweep")

    with pytest.raises(SweepStopped, match="suspended and lost its lease"):
        sweep(huey, 0, on_progress=taken)


def test_marks_that_another_sweep_has_replaced_end_this_one(make_huey, monkeypatch):
    """Its lease has run out, and it did not know."""
    huey = make_huey("sqlite")
    leak(huey, 1)
    (key,) = tokens(huey)
    look = LiveTaskIds.refresh

    def other(places, passes=2):
        look(places, passes)
        put_kit_data(huey, f"marks:{key[2:4]}", b"1")

    read = marks.buckets

    def late(store, numbers, prefix):
        for number, bucket in read(store, numbers, prefix):
            put_kit_data(huey, f"marks:{key[2:4]}", b"1")
            yield number, bucket

    monkeypatch.setattr(marks, "buckets", late)
    with pytest.raises(SweepStopped, match="MarksReplaced"):
        sweep(huey, 0)


def test_a_kit_counts_and_announces_its_sweeps(make_huey):
    """What was deleted by a sweep, in one announcement with its report."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)
    leak(huey, 3)
    heard = []

    def hear(sender, report):
        heard.append((sender, report))

    with sweep_finished.connected_to(hear, sender=huey):
        assert kit.sweep_tokens().marked == 3
        kit.sweep_tokens(dry_run=True)
        forget_a_day(huey)
        report = kit.sweep_tokens()
    assert report.deleted == 3
    assert [each for each, _ in heard] == [huey, huey]
    assert heard[1][1] is report
    assert kit.count("huey_tokens_cleaned_total", by="sweep") == 3


def forget_a_day(huey):
    """Make all marks a day older."""
    store = open_kit_store(huey, UPKEEP)
    for _, bucket in marks.buckets(store, range(256)):
        bucket.groups = {(first - DAY, seen): ids for (first, seen), ids in bucket.groups.items()}
        bucket.save(store)


def test_sweeps_on_the_tick_begin_with_a_worker(make_huey, monkeypatch):
    """Asked for by ``sweep_interval=``: an application process does not sweep, a worker does."""
    monkeypatch.setattr(token_sweeps, "_FIRST_SECONDS", 0.05)
    huey = make_huey("sqlite")
    leak(huey, 3)
    heard = []

    def hear(sender, report):
        heard.append(report)

    with sweep_finished.connected_to(hear, sender=huey):
        kit = install_handlers(huey, sweep_interval=3600)
        scheduler.start()
        assert not [job for job in scheduler.jobs if job.name == "token sweep"]
        huey._startup["huey_signals_kit"]()
        wait_until(lambda: heard, 20, "the first sweep")
        kit.uninstall()
    assert heard[0].marked == 3
    assert not [job for job in scheduler.jobs if job.name == "token sweep"]


def test_no_sweep_on_the_tick_is_the_default(make_huey):
    """A worker's start adds no such job."""
    huey = make_huey("sqlite")
    install_handlers(huey)
    huey._startup["huey_signals_kit"]()
    assert not [job for job in scheduler.jobs if job.name == "token sweep"]


def test_processes_take_turns(make_huey):
    """Two with the same interval do not both sweep in it."""
    heard = []

    def hear(sender, report):
        heard.append(sender)

    with sweep_finished.connected_to(hear):
        hueys = [make_huey("sqlite", name="turns") for _ in range(2)]
        for huey in hueys:
            kit = install_handlers(huey, sweep_interval=3600)
            kit._token_sweep_job._sweep_if_due()
            kit._token_sweep_job._sweep_if_due()
    assert heard == [hueys[0], hueys[0]]


def test_an_uninstalled_kit_ends_its_sweep(make_huey, monkeypatch):
    """Before its next step."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)
    leak(huey, 1)
    monkeypatch.setattr(LiveTaskIds, "refresh", lambda places, passes=2: kit.uninstall())
    with pytest.raises(SweepStopped, match="was uninstalled meanwhile"):
        kit.sweep_tokens()


def test_a_task_that_comes_while_heartbeats_are_awaited_keeps_its_token(any_huey, monkeypatch):
    """All places are read again after that wait."""
    job, *_ = declare(any_huey)
    kept = job.s()
    any_huey.revoke_by_id(kept.id)
    sweep(any_huey, 0)
    monkeypatch.setattr(
        sweeper.Sweeper, "wait_for_heartbeats", lambda self: any_huey.enqueue(kept) and ""
    )
    report = sweep(any_huey, DAY + 1)
    assert (report.deleted, report.live) == (0, 1)
    assert tokens(any_huey) == {f"r:{kept.id}"}


def test_a_task_that_comes_during_the_deletions_keeps_its_token(any_huey, monkeypatch):
    """The places are read again whenever what is known of them is too old."""
    job, *_ = declare(any_huey)
    kept = [job.s() for _ in range(3)]
    for task in kept:
        any_huey.revoke_by_id(task.id)
    sweep(any_huey, 0)
    monkeypatch.setattr(sweep_module, "DELETE_BATCH", 1)
    monkeypatch.setattr(_mark_and_delete, "MAX_LIVE_IDS_AGE", -100.0)

    def enqueue(report):
        if report.deleted == 1:
            for task in kept:
                any_huey.enqueue(task)

    report = sweep(any_huey, DAY + 1, on_progress=enqueue)
    assert (report.deleted, report.live) == (1, 2)
    assert len(tokens(any_huey)) == 2


def test_a_sweep_that_loses_its_turn_deletes_no_further_batch(any_huey, monkeypatch):
    """It asks before each."""
    for _ in range(3):
        any_huey.revoke_by_id(str(uuid.uuid4()))
    sweep(any_huey, 0)
    monkeypatch.setattr(sweep_module, "DELETE_BATCH", 1)
    check = sweeper.Sweeper.check_may_continue

    def lose(report):
        if report.deleted == 1:
            monkeypatch.setattr(sweeper.Sweeper, "check_may_continue", refuse)

    def refuse(self):
        check(self)
        raise sweeper.LeaseLost("another process sweeps")

    with pytest.raises(SweepStopped, match="another process sweeps") as stopped:
        sweep(any_huey, DAY + 1, on_progress=lose)
    assert stopped.value.report.deleted == 1
    assert len(tokens(any_huey)) == 2


def test_a_message_that_comes_while_heartbeats_are_awaited_stops_deletions(any_huey, monkeypatch):
    """It cannot be read, and the report says so."""
    any_huey.revoke_by_id(str(uuid.uuid4()))
    sweep(any_huey, 0)
    monkeypatch.setattr(
        sweeper.Sweeper,
        "wait_for_heartbeats",
        lambda self: any_huey.storage.enqueue(b"no message") and "",
    )
    report = sweep(any_huey, DAY + 1)
    assert (report.deleted, report.undecided) == (0, 1)
    assert report.stopped.startswith("a message cannot be read: its task may still run")
    assert len(tokens(any_huey)) == 1
