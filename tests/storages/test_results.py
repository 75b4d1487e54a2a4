"""The purge deletes results that no caller fetches, and nothing else, on every storage."""

from __future__ import annotations

import json
import pickle
import threading
import uuid
import zlib

import huey as huey_package
import pytest
from huey import MemoryHuey
from huey.serializer import Serializer, SignedSerializer
from huey.utils import Error
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from huey_signals_kit import expire, install_handlers
from huey_signals_kit.inflight.tasks import RunningTask
from huey_signals_kit.ledger import Heartbeat, open_ledger
from huey_signals_kit.runtime.process_id import this_process
from huey_signals_kit.store import UPKEEP, open_kit_store, open_store
from huey_signals_kit.upkeep import ResultPurgeStopped, forget, next_purge, purge_results
from huey_signals_kit.upkeep._live_ids import LiveTaskIds
from huey_signals_kit.upkeep.results import purge as purge_module
from huey_signals_kit.upkeep.tokens import marks, sweeper
from tests.support import (
    delete_kit_data,
    hold,
    kit_data,
    put_kit_data,
    results,
    run_all,
    store,
    stored_errors,
    wait_until,
)

chord_only = pytest.mark.skipif(not hasattr(huey_package, "chord"), reason="chords came in 3.0")
DAY = 86_400.0
WEEK = 7 * DAY
NOW = 1_700_000_000.0


def purge(huey, at, **options):
    """A purge at *at* seconds from the beginning."""
    return purge_results(huey, clock=lambda: NOW + at, **options)


def purge_twice(huey, **options):
    """Two purges that are far enough apart; the report of the second."""
    purge(huey, 0, **options)
    return purge(huey, WEEK + 1, **options)


def declare(huey):
    @huey.task()
    def job(n=0, *_):
        return n

    return job


def leave(huey, count=1):
    """Leave some results that no caller fetches; return their ids."""
    job = getattr(huey, "job", None) or declare(huey)
    huey.job = job
    left = [job(n) for n in range(count)]
    run_all(huey)
    return [each.id for each in left]


def counts(report):
    """What a report says about the results, in the order new, waiting, deleted."""
    return report.new, report.waiting, report.deleted


def test_a_result_is_marked_once_and_deleted_a_week_later(any_huey):
    """Neither its mark nor anything else of it is left, and other keys are as before."""
    any_huey.put("history:1", [1])
    before = store(any_huey)
    ids = leave(any_huey, 3)
    assert counts(purge(any_huey, 0)) == (3, 0, 0)
    assert counts(purge(any_huey, WEEK - 60)) == (0, 3, 0)
    assert set(results(any_huey)) == {*ids, "history:1"}
    report = purge(any_huey, WEEK + 1)
    assert (report.results, report.deleted, report.stopped) == (3, 3, "")
    assert store(any_huey) == before
    assert not [key for key in kit_data(any_huey) if key.startswith("result-marks:")]


def test_a_dry_run_of_a_purge_of_results_changes_nothing(any_huey):
    """It neither deletes nor marks, and says what would be."""
    leave(any_huey)
    before = store(any_huey)
    assert counts(purge(any_huey, 0, dry_run=True)) == (1, 0, 0)
    assert kit_data(any_huey) == {}
    purge(any_huey, 0)
    assert counts(purge(any_huey, WEEK + 1, dry_run=True)) == (0, 0, 1)
    assert before.items() <= store(any_huey).items()
    assert purge(any_huey, WEEK + 1).deleted == 1


OTHERS = [
    "history:1",
    "nightly",
    f"djt.{uuid.uuid4()}",
    f"r:{uuid.uuid4()}",
    "rt:tasks.job",
    f"chord:{uuid.uuid4()}:0",
    f"{uuid.uuid4()}:0",
    str(uuid.uuid4()).upper(),
    "9ea5a1dc-e672-11f1-9b29-02fc00000001",  # of another version than Huey's
    "{name}.lock.held",
    f"{{name}}.lock.{uuid.uuid4()}",
    "{name}.rl.window.w",
    "huey-signals:anything",
]


def test_no_other_key_is_a_result(any_huey):
    """Not what an application stores under its own names, nor a lock, a token or a chord part."""
    keys = {key.format(name=any_huey.name) for key in OTHERS}
    for key in keys:
        any_huey.put(key, 7)
    before = store(any_huey)
    report = purge_twice(any_huey)
    assert (report.scanned, report.results, report.deleted) == (len(keys), 0, 0)
    assert store(any_huey) == before


def test_no_error_is_a_result(any_huey):
    """Ordinary errors, errors that expire, and errors that were stored on purpose stay."""

    @any_huey.task()
    def failing():
        raise ValueError("no")

    @any_huey.task(lock_errors="keep")
    @any_huey.lock_task("held")
    def kept():
        return None

    @any_huey.task()
    @any_huey.lock_task("held")
    def brief():
        return None

    kit = install_handlers(any_huey, "observe")
    kit.on("locked", tasks="*.brief")(lambda event: expire(3600))
    hold(any_huey, "held")
    failing(), kept(), brief()
    run_all(any_huey)
    kit.uninstall()
    before = stored_errors(any_huey)
    report = purge_twice(any_huey)
    assert (report.errors, report.results, report.deleted) == (3, 0, 0)
    assert stored_errors(any_huey) == before
    assert len(before) == 3


def test_a_result_that_speaks_of_an_error_is_a_result(any_huey):
    """Its pickle has the word, and is read to learn what it is."""
    job = declare(any_huey)
    job("huey.utils Error"), job(["Error", {"error": "ValueError('no')"}])
    run_all(any_huey)
    assert purge_twice(any_huey).deleted == 2


def test_a_result_that_has_changed_begins_again(any_huey):
    """Between two purges: other bytes are another result, which is seen for the first time."""
    (task_id,) = leave(any_huey)
    purge(any_huey, 0)
    any_huey.put_result(task_id, "another")
    assert counts(purge(any_huey, WEEK + 1)) == (1, 0, 0)
    assert counts(purge(any_huey, 2 * WEEK)) == (0, 1, 0)
    assert purge(any_huey, 2 * WEEK + 2).deleted == 1


def test_a_purge_that_does_not_find_a_result_begins_again(any_huey):
    """Fetched, and the same is stored again: it was read in between."""
    (task_id,) = leave(any_huey)
    purge(any_huey, 0)
    value = any_huey.result(task_id)
    any_huey.delete(task_id)  # some storages keep what was fetched
    assert purge(any_huey, DAY).results == 0
    any_huey.put_result(task_id, value)
    assert counts(purge(any_huey, WEEK + 1)) == (1, 0, 0)


@pytest.mark.parametrize("change", ["stored again", "fetched"])
def test_a_result_that_changes_between_look_and_deletion_stays(any_huey, monkeypatch, change):
    """Stored again, it stays; fetched, it is the caller's, and not counted as deleted."""
    (task_id,) = leave(any_huey)
    purge(any_huey, 0)
    refresh, fetched = LiveTaskIds.refresh, []

    def changed(places, passes=2):
        refresh(places, passes)
        if change == "stored again":
            any_huey.put_result(task_id, "another")
        elif not fetched:
            fetched.append(any_huey.result(task_id))
            any_huey.delete(task_id)

    monkeypatch.setattr(LiveTaskIds, "refresh", changed)
    report = purge(any_huey, WEEK + 1)
    assert (report.deleted, report.undecided) == (0, 1)
    assert results(any_huey) == ({task_id: "another"} if change == "stored again" else {})
    assert fetched == ([0] if change == "fetched" else [])


def test_a_result_that_changes_after_it_was_read_again_stays(any_huey, monkeypatch):
    """The deletion itself compares the bytes."""
    (task_id,) = leave(any_huey)
    purge(any_huey, 0)
    digest = purge_module._digest

    def late(packed_id, value):
        if late.calls:  # the second time, it is about to be deleted
            any_huey.put_result(task_id, "another")
        late.calls += 1
        return digest(packed_id, value)

    late.calls = 0
    monkeypatch.setattr(purge_module, "_digest", late)
    report = purge(any_huey, WEEK + 1)
    assert (report.deleted, report.undecided) == (0, 1)
    assert results(any_huey) == {task_id: "another"}


def in_the_queue(huey, job, task):
    huey.enqueue(task)


def in_the_schedule(huey, job, task):
    huey.add_schedule(job.s())
    task.eta = huey._get_timestamp().replace(year=2099)
    huey.add_schedule(task)


def nested(huey, job, task):
    head = job.s()
    head.on_complete = task
    huey.enqueue(head)


def in_arguments(huey, job, task):
    job({"fetch": [task.id]})


def running(huey, job, task):
    beat = Heartbeat("one", this_process(), running=(RunningTask(task.id, "some.task", 0.0, ()),))
    ledger = open_ledger(huey)
    ledger.write(beat)
    return lambda: ledger.deregister(beat)


@pytest.mark.parametrize("place", [in_the_queue, in_the_schedule, nested, in_arguments, running])
def test_the_result_of_a_task_that_can_run_again_stays(any_huey, place):
    """Also if a task that waits may fetch it; when all that is over, two purges delete it."""
    job = declare(any_huey)
    task = job.s()
    any_huey.put_result(task.id, 7)
    purge(any_huey, 0)
    end = place(any_huey, job, task)
    report = purge(any_huey, WEEK + 1)
    assert (report.results, report.live, report.deleted) == (1, 1, 0)
    any_huey.storage.flush_queue()
    any_huey.storage.flush_schedule()
    if end is not None:
        end()
    assert counts(purge(any_huey, 2 * WEEK)) == (1, 0, 0)
    assert purge(any_huey, 3 * WEEK + 1).deleted == 1


def test_a_task_that_appears_while_results_are_deleted_keeps_its_result(make_huey, monkeypatch):
    """The places are read again right before the deletion."""
    huey = make_huey("sqlite")
    job = declare(huey)
    task = job.s()
    huey.put_result(task.id, 7)
    purge(huey, 0)
    monkeypatch.setattr(
        sweeper.Sweeper, "wait_for_heartbeats", lambda sweeper: huey.enqueue(task) and ""
    )
    report = purge(huey, WEEK + 1)
    assert (report.live, report.deleted, report.undecided) == (1, 0, 0)
    assert results(huey) == {task.id: 7}


def test_a_caller_that_waits_gets_its_result(make_huey):
    """It waits while both purges run, and the task is run afterwards."""
    huey = make_huey("sqlite")
    job = declare(huey)
    result, got = job(7), []
    caller = threading.Thread(target=lambda: got.append(result.get(blocking=True, timeout=30)))
    caller.start()
    assert purge_twice(huey).results == 0
    run_all(huey)
    purge(huey, WEEK + 2)
    caller.join(30)
    assert got == [7]


@chord_only
def test_a_chord_at_work_ends_as_without_a_purge(any_huey):
    """Between its members two purges go by: the parts and the counter stay."""
    job, got = declare(any_huey), []

    @any_huey.task()
    def collect(values):
        got.append(values)

    any_huey.enqueue(huey_package.chord([job.s(1), job.s(2), job.s(3)], collect.s()))
    any_huey.execute(any_huey.dequeue())
    purge_twice(any_huey)
    any_huey.execute(any_huey.dequeue())
    purge(any_huey, 2 * WEEK)
    run_all(any_huey)
    assert got == [[1, 2, 3]]


def test_a_message_that_cannot_be_read_stops_a_purge_of_results(any_huey):
    """Its task may fetch any result: nothing is marked or deleted until it has gone."""
    leave(any_huey)
    purge(any_huey, 0)
    leave(any_huey)
    any_huey.storage.enqueue(b"\x80\x05broken")
    report = purge(any_huey, WEEK + 1)
    assert (report.deleted, report.new, report.waiting, report.undecided) == (0, 0, 1, 1)
    assert "cannot be read" in report.stopped
    any_huey.storage.flush_queue()
    assert counts(purge(any_huey, WEEK + 2)) == (1, 0, 1)


def test_a_record_that_cannot_be_read_stops_a_purge_of_results(make_huey):
    """It is unknown what that process runs."""
    huey = make_huey("sqlite")
    leave(huey)
    purge(huey, 0)
    put_kit_data(huey, "process:other", b"of another version")
    report = purge(huey, WEEK + 1)
    assert (report.deleted, len(results(huey))) == (0, 1)
    assert "process:other" in report.stopped
    delete_kit_data(huey, "process:other")
    assert purge(huey, WEEK + 2).deleted == 1


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("the value has run code",)


@pytest.mark.parametrize("value", [b"", b"junk", b"\x80\x05K", pickle.dumps(Error({}))[:-9]])
def test_a_value_that_cannot_be_read_stays(any_huey, value):
    """Under the key of a result: counted as unreadable."""
    key = str(uuid.uuid4())
    any_huey.storage.put_data(key, value)
    report = purge_twice(any_huey)
    assert (report.unreadable, report.results, report.deleted) == (1, 0, 0)
    assert key in store(any_huey)


def test_a_result_of_any_class_is_deleted_without_running_code(make_huey):
    """Its class is neither imported nor called, whether its name has the word Error or not."""
    huey = make_huey("sqlite")
    for value in (Trap(), ["Error", Trap()]):
        huey.storage.put_data(str(uuid.uuid4()), pickle.dumps(value))
    assert purge_twice(huey).deleted == 2


class JsonSerializer(Serializer):
    """A serializer of the user's own."""

    def _serialize(self, data):
        is_error = isinstance(data, Error)
        return json.dumps({"error": data.metadata} if is_error else data).encode()

    def _deserialize(self, data):
        value = json.loads(data)
        is_error = isinstance(value, dict) and "error" in value
        return Error(value["error"]) if is_error else value


@pytest.mark.parametrize(
    "serializer",
    [
        Serializer(compression=True),
        Serializer(compression=True, use_zlib=True),
        SignedSerializer(secret="s"),
        JsonSerializer(),
    ],
    ids=["gzip", "zlib", "signed", "own"],
)
def test_results_and_errors_are_told_apart_under_every_serializer(serializer):
    """Compressed, signed and of the user's own; what another one has written stays."""
    huey = MemoryHuey("serialized", serializer=serializer)
    good, error, foreign = (str(uuid.uuid4()) for _ in range(3))
    huey.put_result(good, {"a": 1})
    huey.put_result(error, Error({"error": "ValueError('no')", "traceback": "x" * 100}))
    huey.storage.put_data(foreign, zlib.compress(b"no pickle"))
    report = purge_twice(huey)
    assert (report.deleted, report.errors, report.unreadable) == (1, 1, 1)
    assert set(store(huey)) == {error, foreign}


def test_slices_and_batches_do_not_change_what_is_found(any_huey, monkeypatch):
    """A few results at a time, with large values alone."""
    monkeypatch.setattr(purge_module, "SLICE_SIZE", 7)
    monkeypatch.setattr(purge_module, "DELETE_BATCH", 2)
    monkeypatch.setattr(purge_module, "DELETE_BYTES", 50)
    job = declare(any_huey)
    for n in range(25):
        job("x" * 40 * (n % 3))
    run_all(any_huey)
    assert counts(purge(any_huey, 0)) == (25, 0, 0)
    assert counts(purge(any_huey, WEEK + 1)) == (0, 0, 25)
    assert results(any_huey) == {}


def test_the_number_of_marks_is_bounded(make_huey, monkeypatch):
    """Results beyond the bound are marked by later purges, and are deleted in the end."""
    huey = make_huey("sqlite")
    monkeypatch.setattr(purge_module.ResultPurge, "max_marks", 1)
    for number in range(40):  # of few first bytes, so that many share a bucket
        huey.put_result(str(uuid.uuid4()), number)
    monkeypatch.setattr(purge_module, "_digest", few_first_bytes(purge_module._digest))
    first = purge(huey, 0)
    assert (first.new, first.unmarked) == (4, 36)
    second = purge(huey, WEEK + 1)
    assert (second.deleted, second.new, second.unmarked) == (4, 0, 36)
    for week in range(2, 40):
        purge(huey, week * (WEEK + 1))
    assert results(huey) == {}


def few_first_bytes(digest):
    """The digest, with one of four first bytes."""

    def folded(packed_id, value):
        found = digest(packed_id, value)
        return bytes([found[0] % 4]) + found[1:]

    return folded


def test_marks_are_small(make_huey):
    """At most 16 bytes for a result, and some for the times of each value."""
    huey = make_huey("redis")
    for number in range(2000):
        huey.put_result(str(uuid.uuid4()), "x" * 300 + str(number))
    purge(huey, 0)
    found = {key: value for key, value in kit_data(huey).items() if key.startswith("result-marks:")}
    assert len(found) <= 256
    assert sum(map(len, found.values())) <= 2000 * 16 + 256 * 21
    assert purge_module.MAX_MARKS * 256 * 16 == 64 * 1024 * 1024


def test_a_storage_that_goes_away_leaves_the_marks(any_huey, monkeypatch):
    """Half way: the exception has the report, and the next purge continues."""
    monkeypatch.setattr(purge_module, "DELETE_BATCH", 1)
    leave(any_huey, 5)
    purge(any_huey, 0)
    delete, calls = purge_module.ResultPurge._delete_batch, []

    def once(*given):
        calls.append(given)
        if len(calls) > 1:
            raise OSError("the storage has gone away")
        return delete(*given)

    with monkeypatch.context() as patched:
        patched.setattr(purge_module.ResultPurge, "_delete_batch", once)
        with pytest.raises(ResultPurgeStopped, match="it has deleted 1: OSError") as stopped:
            purge(any_huey, WEEK + 1)
    report = stopped.value.report
    assert (report.deleted, report.undecided) == (1, 4)
    # The one that was about to be deleted has lost its mark.
    assert counts(purge(any_huey, WEEK + 2)) == (1, 0, 3)
    assert purge(any_huey, 2 * WEEK + 3).deleted == 1


def test_one_process_purges_results_at_a_time(any_huey):
    """Another one does nothing and says so; a dry run and a sweep of tokens are possible."""
    leave(any_huey, 3)
    inner = []

    def meanwhile(report):
        inner.append(purge(any_huey, 0))
        inner.append(purge(any_huey, 0, dry_run=True))
        inner.append(sweeper.sweep_tokens(any_huey))

    assert purge(any_huey, 0, on_progress=meanwhile).new == 3
    assert inner[0].stopped == "another process is purging results"
    assert (inner[0].scanned, inner[1].new, inner[2].stopped) == (0, 3, "")


def test_marks_of_tokens_and_of_results_are_kept_apart(any_huey):
    """A sweep drops no mark of a result, and the other way round."""
    (task_id,) = leave(any_huey)
    any_huey.revoke_by_id(task_id)
    sweeper.sweep_tokens(any_huey, clock=lambda: NOW)
    purge(any_huey, 0)
    assert sweeper.sweep_tokens(any_huey, clock=lambda: NOW + WEEK + 1).deleted == 1
    assert purge(any_huey, WEEK + 1).deleted == 1


@pytest.mark.parametrize("kind", ["redis", "redis-expire"])
def test_results_with_different_values_are_deleted_without_scripts(make_huey, monkeypatch, kind):
    """A server that refuses scripts compares them in a transaction."""
    huey = make_huey(kind)
    keys = [str(uuid.uuid4()) for _ in range(600)]
    for number, key in enumerate(keys):
        huey.storage.put_data(key, b"value %d" % number)
    pairs = [(key, b"value %d" % number) for number, key in enumerate(keys)]
    pairs[7], pairs[300] = (keys[7], b"another"), (str(uuid.uuid4()), b"missing")
    wanted = {key for key, _ in pairs} - {keys[7], pairs[300][0]}
    opened = open_store(huey)
    name = type(opened).__module__

    def refused(*_):
        from huey_signals_kit.store import ScriptsRefused

        raise ScriptsRefused

    monkeypatch.setattr(f"{name}.run_script", refused)
    assert set(opened.compare_and_delete_many([*pairs, pairs[0]])) == wanted
    assert set(store(huey)) == {keys[7], keys[300]}


def test_pairs_with_different_values_are_compared_one_by_one(any_huey):
    """Each key with its own value: another value stays, on every storage."""
    values = [b"value %d" % (number % 200) for number in range(400)]
    keys = [str(uuid.uuid4()) for _ in values]
    for key, value in zip(keys, values, strict=True):
        any_huey.storage.put_data(key, value)
    pairs = [
        (key, value if number % 3 else b"another")
        for number, (key, value) in enumerate(zip(keys, values, strict=True))
    ]
    deleted = open_store(any_huey).compare_and_delete_many(pairs)
    assert sorted(deleted) == sorted(key for key, value in pairs if value != b"another")
    assert set(store(any_huey)) == set(keys) - set(deleted)


class Uncleaned:
    """Keeps the name of a queue as it is, as Huey 3.4 does with ``clean_name=False``."""

    def clean_name(self, name):
        return name


def test_a_key_that_may_belong_to_another_queue_stays(redis_url):
    """On Redis keys the queue ``a.b`` takes the key ``b.<uuid>`` of the queue ``a`` for its own."""
    from huey import RedisExpireHuey

    base = RedisExpireHuey("any", url=redis_url).storage_class
    storage = type("Storage", (Uncleaned, base), {})
    name, key = f"a{uuid.uuid4().hex[:8]}", str(uuid.uuid4())
    short, long = (
        huey_package.Huey(each, storage_class=storage, url=redis_url, blocking=False)
        for each in (name, f"{name}.b")
    )
    short.put(f"b.{key}", 7)
    report = purge_twice(long)
    assert (report.results, report.undecided, report.deleted) == (1, 1, 0)
    assert purge_twice(short).results == 0
    assert short.get(f"b.{key}", peek=True) == 7
    short.flush(), long.flush()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"min_age": "1"}, TypeError, "min_age= of purge_results() takes a number of seconds"),
        ({"min_age": float("nan")}, ValueError, "got nan"),
        ({"min_age": 14.9}, ValueError, "at least 15 seconds, got 14.9"),
        ({"min_age": 1e12}, ValueError, "which are ten years"),
        ({"dry_run": "no"}, TypeError, "dry_run= of purge_results() takes True or False"),
    ],
)
def test_bad_arguments_of_a_purge_of_results_are_refused(make_huey, options, error, text):
    """By name, with the rule."""
    with pytest.raises(error) as refused:
        purge_results(make_huey(), **options)
    assert text in str(refused.value)


def test_a_purge_of_results_takes_a_huey():
    """And says what it got."""
    with pytest.raises(TypeError, match=r"purge_results\(\) takes a Huey, got 3"):
        purge_results(3)


def test_a_kit_purges_results(make_huey):
    """``kit.purge_results`` marks first, and returns its report; the marks are the kit's own."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)
    leave(huey, 2)
    assert kit.purge_results(dry_run=True).new == 2
    assert kit.purge_results(3600).new == 2
    assert next_purge(huey, 3600) > next_purge(huey, 60)
    opened = open_kit_store(huey, UPKEEP)
    for _, bucket in marks.buckets(opened, range(256), purge_module.PREFIX):
        bucket.groups = {(first - 3600, seen): ids for (first, seen), ids in bucket.groups.items()}
        bucket.save(opened)
    assert counts(kit.purge_results()) == (0, 2, 0)
    assert kit.purge_results(3600).deleted == 2
    assert next_purge(huey, 60) is None


def test_marks_of_results_are_forgotten_with_everything_else(any_huey):
    """``forget`` names and deletes them."""
    leave(any_huey)
    purge(any_huey, 0)
    assert forget(any_huey).found["marks of purges of results"] == 1
    assert kit_data(any_huey) == {}


class Model(RuleBasedStateMachine):
    """Results are stored, changed and fetched while purges run, against the rule of two looks."""

    def __init__(self):
        super().__init__()
        self.huey = MemoryHuey("model")
        self.hour = 0
        self.ids = [str(uuid.UUID(int=n, version=4)) for n in range(4)]
        self.values, self.seen = {}, {}

    @rule(which=st.integers(0, 3), value=st.integers(0, 2))
    def store(self, which, value):
        self.huey.put_result(self.ids[which], value)
        self.values[self.ids[which]] = value

    @rule(which=st.integers(0, 3))
    def fetch(self, which):
        assert self.huey.result(self.ids[which]) == self.values.pop(self.ids[which], None)

    @rule(hours=st.integers(1, 200))
    def wait(self, hours):
        self.hour += hours

    @rule()
    def purge(self):
        report = purge(self.huey, self.hour * 3600)
        now = dict.fromkeys(self.values.items(), self.hour)
        self.seen = {pair: self.seen.get(pair, hour) for pair, hour in now.items()}
        due = [pair for pair, hour in self.seen.items() if self.hour - hour >= 7 * 24]
        for key, value in due:
            del self.values[key], self.seen[key, value]
        assert report.deleted == len(due)
        assert results(self.huey) == self.values


def test_two_purges_decide_whatever_happens_in_between():
    """A result goes exactly when it was seen, with the same bytes, a week before."""
    run_state_machine_as_test(Model)


def test_a_purge_by_the_kit_learns_that_another_one_is_dead(make_huey, monkeypatch):
    """Its lease stays where the storage has no expiry; each call continues to watch it."""
    monkeypatch.setattr("huey_signals_kit.upkeep.tokens.sweeper.LEASE_SECONDS", 0.2)
    huey = make_huey("sqlite")
    with install_handlers(huey) as kit:
        assert open_ledger(huey).lease("result purge", 0.2).acquire()
        assert kit.purge_results().stopped == "another process is purging results"
        assert wait_until(lambda: not kit.purge_results().stopped, 20, "the end of the lease")
