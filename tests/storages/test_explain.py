"""Where one task is, on every storage: each place that a task can be at, and nowhere."""

from __future__ import annotations

import datetime
import json
import pickle
import threading
import time
import uuid
from dataclasses import replace

import huey as huey_package
import pytest
from huey.utils import Error

from huey_signals_kit import install_handlers
from huey_signals_kit.inflight.tasks import RunningTask
from huey_signals_kit.ledger import Heartbeat, open_ledger
from huey_signals_kit.runtime.process_id import ProcessId, this_process
from huey_signals_kit.upkeep import Revocation, explain
from huey_signals_kit.upkeep.explanation import explain as explain_module
from tests.support import hold, put_kit_data, run_all, store, wait_until

FAR = datetime.datetime(2099, 1, 1)
PAST = datetime.datetime(2001, 1, 1)
GONE = replace(this_process(), pid=2**22 + 5, start_time=17)
"""A place of this host where no process is."""
ELSEWHERE = ProcessId("another-host", "another boot", 4711, 99)
JOB = f"{__name__}.job"
HAS_CHORDS = hasattr(huey_package, "chord")


def declare(huey):
    @huey.task()
    def job(n=0):
        return n

    return job


def found_in(huey, task):
    """(where, path, id of the task that stands there) of all places of a task, or an id."""
    places = explain(huey, getattr(task, "id", task), patience=0).places
    return [(each.where, each.path, each.task_id) for each in places]


def beats(huey, process="one", place=None, sequence=1, **says):
    open_ledger(huey).write(
        Heartbeat(process, place or this_process(), "thread", 1.0, sequence, **says)
    )


def scheduled(huey, task, eta=FAR):
    task.eta = eta
    huey.add_schedule(task)
    return task


def test_one_that_nothing_knows(any_huey):
    """Also says where it was looked for."""
    declare(any_huey)()
    found = explain(any_huey, str(uuid.uuid4()), patience=0)
    assert not found.known
    assert (found.looked.queued, found.looked.scheduled, found.looked.workers) == (1, 0, 0)
    assert found.queue == any_huey.name


def test_a_queued_one(any_huey, any_kind):
    """With its name, and how many come before it."""
    job = declare(any_huey)
    ids = [job(n).id for n in range(4)]
    for before, each in enumerate(ids):
        found = explain(any_huey, each)
        (place,) = found.places
        assert (found.known, found.task_name) == (True, JOB)
        assert (place.where, place.path, place.task_name, place.task_id) == ("queue", (), JOB, each)
        assert place.before <= before <= place.before_most
        assert "priority" in any_kind or place.before == place.before_most


@pytest.mark.parametrize("kind", ["memory", "sqlite", "file", "postgres", "sql-huey"])
def test_a_more_urgent_one_comes_first(make_huey, kind):
    """As Huey takes them, and not in the order in which they stand."""
    huey = make_huey(kind)
    job = declare(huey)
    tasks = [job.s(n, priority=priority) for n, priority in enumerate((1, 5, None, 5, 1))]
    for each in tasks:
        huey.enqueue(each)
    before = {each.id: explain(huey, each.id).places[0].before for each in tasks}
    taken = [huey.dequeue().id for _ in tasks]
    assert [before[each] for each in taken] == [0, 1, 2, 3, 4]


def test_the_place_once_others_were_taken(any_huey, any_kind):
    """In whatever way the storage has moved what is left."""
    job = declare(any_huey)
    ids = [job(n).id for n in range(9)]
    assert [any_huey.dequeue().id for _ in range(2)] == ids[:2]
    places = [explain(any_huey, each).places[0] for each in ids[2:]]
    if "priority" in any_kind:
        assert {(each.before, each.before_most) for each in places} == {(0, 6)}
    else:
        assert [(each.before, each.before_most) for each in places] == [(n, n) for n in range(7)]


@pytest.mark.parametrize("kind", ["priority-redis", "priority-redis-expire"])
def test_where_the_order_is_not_known_it_is_told_between_which(make_huey, kind):
    """By priority."""
    huey = make_huey(kind)
    job = declare(huey)
    tasks = [job.s(n, priority=priority) for n, priority in enumerate((1, 5, None, 5, 1))]
    for each in tasks:
        huey.enqueue(each)
    places = [explain(huey, each.id).places[0] for each in tasks]
    assert [(each.before, each.before_most) for each in places] == [
        (2, 3),
        (0, 1),
        (4, 4),
        (0, 1),
        (2, 3),
    ]


def test_many_are_read_in_batches(any_huey):
    """What is read is told, and the order is that of the queue."""
    job = declare(any_huey)
    ids = [job(n).id for n in range(1200)]
    told = []
    (place,) = explain(any_huey, ids[1100], on_progress=told.append).places
    assert place.before <= 1100 <= place.before_most
    assert told[-1] == "1,200 tasks read"
    assert len(told) > 1


def test_a_scheduled_one(any_huey):
    """For when, as its Huey has it."""
    task = scheduled(any_huey, declare(any_huey).s())
    found = explain(any_huey, task.id)
    (place,) = found.places
    assert (place.where, place.path, place.eta, place.before) == ("schedule", (), FAR, None)
    assert found.task_name == JOB


def test_one_that_runs(make_huey):
    """In a real thread, since when and in which process."""
    huey = make_huey("sqlite")
    started, go = threading.Event(), threading.Event()

    @huey.task()
    def slow():
        started.set()
        go.wait(60)

    later = slow.s()
    install_handlers(huey)
    task = slow.s().then(later)
    huey.enqueue(task)
    worker = threading.Thread(target=work, args=[huey])
    worker.start()
    try:
        assert started.wait(30)
        found = wait_until(lambda: _placed(explain(huey, task.id, patience=0)), 30, "a beat")
        (place,) = found.places
        assert (place.where, place.path, place.alive) == ("running", (), True)
        assert (place.host, place.pid) == (this_process().host, this_process().pid)
        assert abs(place.since.timestamp() - time.time()) < 60
        assert found.task_name == f"{__name__}.slow"
        assert found_in(huey, later) == [("running", ("nested",), task.id)]
    finally:
        go.set()
        worker.join()


def work(huey):
    """What a consumer's worker does for one task."""
    worker = huey.create_consumer()._create_worker()
    worker.initialize()
    worker.loop()
    worker.shutdown()


def _placed(found):
    return found if found.places else None


def test_one_whose_process_is_dead(any_huey):
    """Its record tells where it was; nobody else does."""
    task_id, nested = str(uuid.uuid4()), str(uuid.uuid4())
    beats(any_huey, place=GONE, running=(RunningTask(task_id, "m.f", 5.0, (nested,)),))
    (place,) = explain(any_huey, task_id, patience=0).places
    assert (place.where, place.alive, place.pid) == ("running", False, GONE.pid)
    assert found_in(any_huey, nested) == [("running", ("nested",), task_id)]


def test_one_that_runs_on_another_host(any_huey):
    """Whether that lives is not known at the first look."""
    task_id = str(uuid.uuid4())
    beats(any_huey, place=ELSEWHERE, running=(RunningTask(task_id, "m.f", 5.0),))
    found = explain(any_huey, task_id)
    (place,) = found.places
    assert (place.host, place.pid) == ("another-host", 4711)
    assert place.alive is not False
    assert found.looked.workers == 1


def test_one_that_is_between_schedule_and_queue(any_huey):
    """The process that moves it says so."""
    task_id = str(uuid.uuid4())
    beats(any_huey, waiting=(task_id,))
    assert found_in(any_huey, task_id) == [("due", (), task_id)]


def test_a_later_stage_and_an_error_handler(any_huey):
    """At any depth, with how it comes to be there."""
    job = declare(any_huey)
    first, second, third = job.s(), job.s(), job.s()
    on_error, of_third = job.s(), job.s()
    first.then(second).then(third)
    first.error(on_error)
    third.error(of_third)
    any_huey.enqueue(first)
    assert found_in(any_huey, first) == [("queue", (), first.id)]
    assert found_in(any_huey, second) == [("queue", ("stage",), first.id)]
    assert found_in(any_huey, third) == [("queue", ("stage",), first.id)]
    assert found_in(any_huey, on_error) == [("queue", ("error handler",), first.id)]
    assert found_in(any_huey, of_third) == [("queue", ("stage", "error handler"), first.id)]
    assert explain(any_huey, second.id).task_name == JOB


def test_a_stage_of_a_scheduled_task(any_huey):
    """With when that is to run."""
    job = declare(any_huey)
    first, second = job.s(), job.s()
    scheduled(any_huey, first.then(second))
    (place,) = explain(any_huey, second.id).places
    assert (place.where, place.path, place.eta) == ("schedule", ("stage",), FAR)


def test_an_id_that_is_only_an_argument(any_huey):
    """That is no place of the task itself."""
    job, other = declare(any_huey), str(uuid.uuid4())
    task = job.s(other)
    any_huey.enqueue(task)
    found = explain(any_huey, other, patience=0)
    assert [(each.path, each.task_id) for each in found.places] == [(("argument",), task.id)]
    assert found.task_name is None


def test_a_deep_tree_of_error_handlers(make_huey):
    """Is told in part."""
    huey = make_huey("sqlite")
    job = declare(huey)
    last = first = job.s()
    for number in range(30):
        following = job.s()
        last.error(following) if number % 2 else last.then(following)
        last = following
    huey.enqueue(first)
    ((_, path, task_id),) = found_in(huey, last)
    assert (path, task_id) == (("stage", "error handler") * 4, first.id)


def test_with_a_serializer_of_the_users_own(make_huey):
    """Its messages are Huey's as well."""
    huey = make_huey("sqlite", serializer=Own())
    job = declare(huey)
    first, second, other = job.s(), job.s(), str(uuid.uuid4())
    first.args = (other,)
    huey.enqueue(first.then(second))
    assert found_in(huey, second) == [("queue", ("stage",), first.id)]
    assert found_in(huey, other) == [("queue", ("nested",), first.id)]


class Own:
    """Unknown to the kit."""

    def serialize(self, data):
        return pickle.dumps(data)

    def deserialize(self, data):
        return pickle.loads(data)


def test_those_that_are_taken_first_are_told_first(any_huey, any_kind):
    """Where that is known."""
    job, other = declare(any_huey), str(uuid.uuid4())
    ids = [job(other).id for _ in range(120)]
    found = explain(any_huey, other, patience=0)
    assert (len(found.places), found.more) == (100, 20)
    if "priority" not in any_kind:
        assert [each.task_id for each in found.places] == ids[:100]


@pytest.mark.skipif(not HAS_CHORDS, reason="this Huey has no chords")
def test_a_chord(any_huey):
    """A part of it, and its callback, with how many parts have ended."""
    job = declare(any_huey)

    @any_huey.task()
    def add(numbers):
        return sum(numbers)

    parts, callback, after = [job.s(n).then(job.s(0)) for n in range(3)], add.s(), job.s()
    callback.then(after)
    any_huey.enqueue(huey_package.chord(parts, callback))
    for _ in range(4):  # the first stages, then one of the second
        any_huey.execute(any_huey.dequeue())
    found = explain(any_huey, callback.id)
    assert {each.path for each in found.places} == {("chord callback",)}
    assert [(each.size, each.part, each.done) for each in found.chords] == [(3, None, 1)]
    assert found.task_name == f"{__name__}.add"
    assert {path for _, path, _ in found_in(any_huey, after)} == {("chord callback", "stage")}
    part = explain(any_huey, parts[2].on_complete.id)
    (chord,) = part.chords
    assert (chord.size, chord.part, chord.done) == (3, 3, 1)
    assert [each.path for each in part.places] == [()]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (None, False, False)),
        ({"revoke_once": True}, (None, True, False)),
        ({"revoke_until": FAR}, (FAR, False, False)),
        ({"revoke_until": PAST}, (PAST, False, True)),
    ],
)
def test_a_revoked_one(any_huey, options, expected):
    """By its own token, and by the pause switch of its task."""
    job = declare(any_huey)
    task = scheduled(any_huey, job.s())
    any_huey.revoke_by_id(task.id, **options)
    any_huey.revoke_all(job.task_class, **options)
    until, once, over = expected
    assert explain(any_huey, task.id).tokens == [
        Revocation(f"r:{task.id}", until, once, over),
        Revocation(f"rt:{JOB}", until, once, over),
    ]


def test_a_token_alone(any_huey):
    """Of a task that stands nowhere; one that cannot be read as well."""
    any_huey.revoke_by_id("nightly")
    any_huey.storage.put_data("r:broken", b"junk")
    assert explain(any_huey, "nightly", patience=0).tokens == [Revocation("r:nightly")]
    found = explain(any_huey, "broken", patience=0)
    assert found.known
    assert found.tokens == [Revocation("r:broken", readable=False)]


def test_the_pause_switch_of_a_later_stage(any_huey):
    """Is that of its own task, not of the first."""
    job = declare(any_huey)

    @any_huey.task()
    def other():
        return None

    stage = other.s()
    any_huey.enqueue(job.s().then(stage))
    any_huey.revoke_all(job.task_class)
    assert explain(any_huey, stage.id).tokens == []
    any_huey.revoke_all(other.task_class)
    assert [each.key for each in explain(any_huey, stage.id).tokens] == [f"rt:{__name__}.other"]


def test_the_locks_that_it_holds(any_huey):
    """And no other's."""
    seen = []

    @any_huey.task(context=True)
    @any_huey.lock_task("held")
    def guarded(task=None):
        seen.extend(explain(any_huey, task.id, patience=0).locks)

    install_handlers(any_huey)
    hold(any_huey, "another")
    result = guarded()
    run_all(any_huey)
    (lock,) = seen
    assert (lock.name, lock.task_id, lock.alive) == ("held", result.id, True)


def test_skips_are_those_of_all_tasks_of_its_name(any_huey):
    """The sum over all processes, by lock, of this task alone."""
    skips = "huey_lock_skips_total"
    queue = any_huey.name
    for process, count in (("one", 3), ("two", 4)):
        counters = {
            (skips, queue, JOB, "held"): count,
            (skips, queue, JOB, "other"): 1,
            (skips, queue, "held", JOB): 100,
            (skips, queue, "m.f", "held"): 1000,
            ("huey_signals_total", queue, JOB, "locked"): 10_000,
        }
        beats(any_huey, process, counters=counters)
    result = declare(any_huey)()
    assert explain(any_huey, result.id).skips == {"held": 7, "other": 2}


def test_a_result_stays_where_it_is(any_huey):
    """Told as it is while it is short."""
    result = declare(any_huey)({"a": [1, None]})
    run_all(any_huey)
    before = store(any_huey)
    found = explain(any_huey, result.id).result
    assert (found.kind, found.class_name, found.text) == ("value", "dict", "{'a': [1, None]}")
    assert found.size == len(before[result.id])
    assert store(any_huey) == before
    assert result.get() == {"a": [1, None]}


def shared(depth):
    """A list that takes little room, and endless time to write."""
    found = []
    for _ in range(depth):
        found = [found, found]
    return found


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (lambda: "x" * 1_000_000, "str"),
        (lambda: [0] * 1000, "list"),
        (lambda: shared(60), "list"),
        (lambda: 10**9999, "int"),
    ],
)
def test_of_a_large_result_only_the_size_and_the_class(make_huey, value, name):
    """However it is large."""
    huey = make_huey("sqlite")
    huey.put_result("done", value())
    found = explain(huey, "done").result
    assert (found.kind, found.class_name, found.text) == ("value", name, None)
    assert found.size > 50


class Ticket:
    """Of the user's own; made when unpickled."""

    made = 0

    def __setstate__(self, state):
        Ticket.made += 1


def test_a_result_of_a_foreign_class_is_not_made(make_huey):
    """It is named."""
    huey = make_huey("sqlite")
    ticket = Ticket()
    ticket.number = 1
    huey.put_result("done", ticket)
    found = explain(huey, "done").result
    assert (found.class_name, found.text) == (f"{__name__}.Ticket", None)
    assert Ticket.made == 0


def test_a_result_that_cannot_be_read(any_huey):
    """Has a size."""
    any_huey.storage.put_data("done", b"junk")
    found = explain(any_huey, "done").result
    assert (found.kind, found.size, found.class_name) == ("unreadable", 4, None)


def test_an_error(any_huey):
    """By its class, with its text."""

    @any_huey.task()
    def fails():
        raise ValueError("no such user")

    result = fails()
    run_all(any_huey)
    found = explain(any_huey, result.id).result
    assert (found.kind, found.class_name, found.of_task) == ("error", "ValueError", result.id)
    assert found.text == "ValueError('no such user')"


def test_the_error_of_an_earlier_stage(make_huey):
    """Names the task that it is of."""
    huey = make_huey("sqlite")
    huey.put_result("second", Error({"error": "KeyError('a')", "task_id": "first"}))
    found = explain(huey, "second").result
    assert (found.class_name, found.of_task) == ("KeyError", "first")


def test_a_key_of_the_store_is_no_result(any_huey):
    """A token's, say."""
    any_huey.revoke_by_id("a")
    assert not explain(any_huey, "r:a", patience=0).known


def test_at_several_places_at_once(any_huey):
    """In the order in which tasks move."""
    job = declare(any_huey)
    task = job.s()
    any_huey.enqueue(task)
    scheduled(any_huey, task)
    beats(any_huey, running=(RunningTask(task.id, JOB, 5.0),))
    any_huey.put_result(task.id, 3)
    found = explain(any_huey, task.id)
    assert [each.where for each in found.places] == ["schedule", "queue", "running"]
    assert found.result.text == "3"


def test_one_that_moves_while_it_is_looked_for(any_huey, monkeypatch):
    """Out of the schedule just before that is read, say."""
    task = declare(any_huey).s()
    opened = explain_module.open_store(any_huey)

    class Moving:
        def __getattr__(self, name):
            return getattr(opened, name)

        def scheduled(self):
            yield from opened.scheduled()
            any_huey.enqueue(task)

    monkeypatch.setattr(explain_module, "open_store", lambda huey: Moving())
    assert found_in(any_huey, task) == [("queue", (), task.id)]


def written_elsewhere(huey, sequence, **says):
    """The record of another process, which this one has not written."""
    record = Heartbeat("away", ELSEWHERE, "thread", 1.0, sequence, **says)
    put_kit_data(huey, "process:away", record.dump())


@pytest.mark.parametrize("named", [[], ["queue"]])
def test_before_nothing_knows_it_every_worker_is_asked_again(make_huey, named):
    """The next heartbeat names a task that was just taken; others may have its id as well."""
    huey, task_id = make_huey("sqlite"), str(uuid.uuid4())
    for _ in named:
        declare(huey)(task_id)
    written_elsewhere(huey, 1)
    told = []

    def tell(text):
        told.append(text)
        if len(told) == 2:
            written_elsewhere(huey, 2, running=(RunningTask(task_id, JOB, 5.0),))

    started = time.monotonic()
    found = explain(huey, task_id, on_progress=tell, patience=30)
    assert [each.where for each in found.places] == [*named, "running"]
    assert time.monotonic() - started < 20
    assert "waiting for the heartbeats of the workers" in told


def test_a_worker_that_says_nothing_is_not_waited_for_for_ever(make_huey):
    """Then nothing knows it."""
    huey = make_huey("sqlite")
    written_elsewhere(huey, 1)
    started = time.monotonic()
    assert not explain(huey, "nobody", patience=0.5).known
    assert 0.5 <= time.monotonic() - started < 20


def test_what_cannot_be_read_is_counted(any_huey):
    """It may stand in there."""
    any_huey.storage.enqueue(b"junk")
    any_huey.storage.add_to_schedule(b"more junk", *_when(any_huey))
    job = declare(any_huey)
    result = job()
    found = explain(any_huey, result.id)
    assert (found.looked.unreadable, found.looked.queued, found.looked.scheduled) == (2, 2, 1)
    (place,) = found.places
    assert place.before <= 1 <= place.before_most


def _when(huey):
    # Huey 2.5 wants to know if that is UTC.
    return (FAR, huey.utc) if huey_package.__version__.startswith("2.5") else (FAR,)


def test_ids_that_look_alike(any_huey):
    """A letter is wrong, or the end is missing."""
    job = declare(any_huey)
    result, _ = job(), job()
    last = "0" if result.id[-1] != "0" else "1"
    for wrong in (result.id[:-1] + last, result.id[:13], "x" + result.id[1:]):
        found = explain(any_huey, wrong, patience=0)
        assert (found.known, found.alike) == (False, [result.id])


@pytest.mark.parametrize("wrong", [None, b"x", 3, ""])
def test_what_is_no_id(make_huey, wrong):
    """Is refused by name."""
    with pytest.raises(TypeError, match=r"explain\(\) takes the id of a task, got"):
        explain(make_huey(), wrong)


def test_what_is_no_huey():
    """As well."""
    with pytest.raises(TypeError, match=r"explain\(\)"):
        explain(object(), "a")


def test_plain_values(any_huey):
    """For JSON, with all that there is."""
    job = declare(any_huey)
    task = scheduled(any_huey, job.s())
    any_huey.revoke_by_id(task.id, revoke_until=FAR)
    any_huey.put_result(task.id, {1, 2})
    found = json.loads(json.dumps(explain(any_huey, task.id).as_dict()))
    assert (found["known"], found["task_id"], found["locks"]) == (True, task.id, [])
    assert found["places"][0]["eta"] == found["tokens"][0]["until"] == "2099-01-01T00:00:00"
    assert found["result"]["text"] == "{1, 2}"


def test_nothing_is_changed(any_huey):
    """Neither a result nor a token, nor the queue."""
    job = declare(any_huey)
    result = job()
    any_huey.revoke_by_id(result.id)
    before = store(any_huey), len(any_huey), any_huey.scheduled_count()
    explain(any_huey, result.id)
    explain(any_huey, "nobody", patience=0)
    assert (store(any_huey), len(any_huey), any_huey.scheduled_count()) == before
