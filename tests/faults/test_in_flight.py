"""A worker has a task in its hands for longer than the task's function runs."""

from __future__ import annotations

import functools
import gc
import logging
import pickle
import subprocess
import sys
import threading
import types
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from huey import SqliteHuey
from huey.signals import SIGNAL_COMPLETE, SIGNAL_EXECUTING, SIGNAL_RETRYING

from huey_signals_kit import install_handlers, uninstall_handlers
from huey_signals_kit.inflight import tasks
from huey_signals_kit.inflight.claims import in_flight_of
from huey_signals_kit.inflight.tasks import in_flight_ids
from huey_signals_kit.ledger import UnreadableLedger, open_ledger
from huey_signals_kit.store.unpickle import trusted
from tests.consumer.harness import ROOT
from tests.selection import combinations
from tests.support import wait_until

WAIT = 30


class Held:
    """Holds up whoever comes by."""

    def __init__(self):
        self.there, self.go_on = threading.Event(), threading.Event()

    def __call__(self, *_):
        self.there.set()
        assert self.go_on.wait(WAIT)


def before_the_run(huey, held):
    """A hook that asks another service whether it may run."""
    huey.pre_execute(name="held")(held)


def as_it_begins(huey, held):
    """A receiver of the signal."""
    huey.signal(SIGNAL_EXECUTING)(held)


def after_the_run(huey, held):
    """A hook that tells another service."""
    huey.post_execute(name="held")(held)


def as_it_ends(huey, held):
    """Receivers, before what follows is enqueued."""
    huey.signal(SIGNAL_COMPLETE, SIGNAL_RETRYING)(held)


def before_huey_has_it(huey, held):
    """Other code that wraps ``execute``, as Sentry's does."""
    execute = huey.execute

    def wrapped(task, *rest):
        held()
        return execute(task, *rest)

    huey.execute = wrapped


def in_the_log(huey, held):
    """A handler that sends log lines somewhere."""

    logger = logging.getLogger("huey")

    class Handler(logging.Handler):
        def emit(self, record):
            if "executed in" in record.getMessage() or "retries" in record.getMessage():
                logger.removeHandler(self)
                held()

    logger.addHandler(Handler())
    logger.setLevel(logging.INFO)


def by_a_patched_class(huey, held):
    """A wrapper on the class that looks like what it wraps."""
    execute = type(huey)._execute

    @functools.wraps(execute)
    def wrapped(self, task, timestamp):
        held()
        return execute(self, task, timestamp)

    huey.__class__ = type("Patched", (type(huey),), {"_execute": wrapped})


def with_the_result(huey, held):
    """A subclass that does more with results."""
    put = huey.put_result
    huey.put_result = lambda *args: (held(), put(*args))[1]


def as_it_is_read(huey, held):
    """A message that takes long to be unpickled."""
    deserialize = huey.deserialize_task
    huey.deserialize_task = lambda raw: (held(), deserialize(raw))[1]


@contextmanager
def at_work(huey, held):
    """A worker of Huey's own that has been held up on its only task, on a thread of its own."""
    worker = huey.create_consumer()._create_worker()

    def work():
        worker.initialize()
        worker.loop()
        worker.shutdown()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert held.there.wait(WAIT)
        yield thread
    finally:
        held.go_on.set()
        thread.join()
        gc.collect()  # what has failed refers to itself


MOMENTS = [
    *(before_the_run, as_it_begins, after_the_run, as_it_ends, before_huey_has_it),
    *(in_the_log, by_a_patched_class, with_the_result, as_it_is_read),
]


@pytest.mark.parametrize(
    ("moment", "retries", "late"), combinations(MOMENTS, [0, 1], [False, True])
)
def test_it_is_in_hand_until_what_follows_is_enqueued(
    make_huey, moment, retries, late, monkeypatch
):
    """With all that is nested in it: somebody may have revoked that."""
    # A log that keeps an exception keeps the task that raised it.
    monkeypatch.setattr(logging.getLogger("huey"), "propagate", False)
    huey, held = make_huey("sqlite"), Held()
    if late:
        install_handlers(huey)

    @huey.task()
    def job(*_):
        if retries:
            raise ValueError("failed")
        return "done"

    moment(huey, held)
    install_handlers(huey)
    head = job.s(retries=retries).then(job)
    ids = {head.id, head.on_complete.id}
    huey.enqueue(head)
    ledger, other = open_ledger(huey), open_ledger(make_huey("sqlite"))
    assert ledger.running_ids() == set()
    with at_work(huey, held):
        assert ledger.running_ids() == ids
        assert other.running_ids() == set()
    # A heartbeat that is being written may still refer to the task.
    wait_until(lambda: gc.collect() >= 0 and not ledger.running_ids(), WAIT, "its end to be seen")


class Unruly:
    """An argument that no attribute can be asked for."""

    def __getattr__(self, name):
        raise RuntimeError("detached")


class Endless:
    """An argument that makes a new one for each attribute."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Endless()


class Receiver:
    """A receiver that cannot be hashed."""

    __hash__ = None

    def __call__(self, *_):
        return None


ODD = {
    "unruly": lambda: Unruly(),
    "endless": lambda: Endless(),
    "deep": lambda: {"deep": [Unruly(), (Endless(),)]},
}


@pytest.mark.parametrize("argument", ODD)
def test_whatever_a_task_is_given_its_process_says_what_it_runs(make_huey, argument):
    """No attribute of anything of the user's is asked for."""
    huey, held = make_huey("sqlite"), Held()

    @huey.task()
    def job(*_):
        held()

    huey.signal()(Receiver())
    kit = install_handlers(huey)
    kit.on("complete")(Receiver())
    head = job.s(ODD[argument]()).then(job)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(huey.execute, head)  # as a script does, without a message
        assert held.there.wait(WAIT)
        kit._heartbeat.write()
        found = open_ledger(make_huey("sqlite", huey.name)).running_ids()
        held.go_on.set()
        running.result()
    assert found == {head.id, head.on_complete.id}


def test_what_nobody_can_look_through_stops_deletions(make_huey, monkeypatch):
    """Its process lives, and says that it cannot tell."""
    huey, held = make_huey("sqlite"), Held()

    @huey.task()
    def job(*_):
        held()

    kit = install_handlers(huey)
    huey.revoke_by_id(str(uuid.uuid4()))
    monkeypatch.setattr(trusted, "_MAX_PARTS", 10)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(huey.execute, job.s([[each] for each in range(20)]))
        assert held.there.wait(WAIT)
        kit._heartbeat.write()
        for ledger in (open_ledger(huey), open_ledger(make_huey("sqlite", huey.name))):
            with pytest.raises(UnreadableLedger, match="has a task in flight that cannot be read"):
                ledger.running_ids()
        assert "in flight that cannot be read" in kit.sweep_tokens(min_age=15).stopped
        held.go_on.set()
        running.result()
    kit._heartbeat.write()
    assert open_ledger(huey).running_ids() == set()


def test_a_beat_that_cannot_tell_anything_says_so(make_huey, monkeypatch, caplog):
    """A task whose own attributes raise is in the user's hands alone."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)
    kit._on_worker_start()
    monkeypatch.setattr(kit._heartbeat, "_running", lambda: 1 / 0)
    kit._heartbeat.write()
    (process,) = open_ledger(make_huey("sqlite", huey.name)).processes()
    assert process.heartbeat.unread == 1
    assert "ZeroDivisionError" in caplog.text


def test_a_message_that_cannot_be_read_is_in_nobodys_hands(make_huey):
    """Huey drops it."""
    huey = make_huey("sqlite")
    install_handlers(huey)
    huey.storage.enqueue(b"nothing")
    with pytest.raises(pickle.UnpicklingError):
        huey.dequeue()
    assert open_ledger(huey).running_ids() == set()


def test_a_dequeue_of_others_is_noted_by_what_it_returns(make_huey):
    """A subclass, or a wrapper, may take messages in a way of its own."""
    huey, held = make_huey("sqlite"), Held()

    @huey.task()
    def job(*_):
        return None

    dequeue = huey.dequeue
    huey.dequeue = lambda: dequeue()
    install_handlers(huey)
    after_the_run(huey, held)
    huey.enqueue(head := job.s().then(job))
    with at_work(huey, held):
        assert open_ledger(huey).running_ids() == {head.id, head.on_complete.id}


def test_ids_in_bytes_and_in_objects_are_alive_while_their_task_runs(make_huey):
    """As they are while it waits in the queue."""
    huey, held = make_huey("sqlite"), Held()

    @huey.task()
    def job(*_):
        held()

    later, other = job.s(), job.s()
    install_handlers(huey)
    huey.enqueue(job.s(later.id.encode(), types.SimpleNamespace(next=other.id)))
    with at_work(huey, held):
        assert {later.id, other.id} <= open_ledger(huey).running_ids()


def test_nothing_stands_around_a_task_itself(make_huey):
    """Nobody pays for what nobody needs."""
    huey = make_huey("sqlite")
    install_handlers(huey, quiet_logs=True)
    assert huey.execute.__func__ is type(huey).execute
    assert huey._execute.__func__ is type(huey)._execute


@pytest.mark.parametrize("hashable", [False, True])
def test_hueys_that_compare_each_have_hands_of_their_own(tmp_path, hashable):
    """They are told by identity."""

    class Comparing(SqliteHuey):
        def __eq__(self, other):
            return True

        if hashable:

            def __hash__(self):
                return 1

    one, two = (Comparing("q", filename=str(tmp_path / name)) for name in ("one.db", "two.db"))
    install_handlers(one)
    install_handlers(two)
    assert in_flight_of(one) is in_flight_of(one) is not in_flight_of(two)
    uninstall_handlers(one)
    uninstall_handlers(two)


def test_a_schedule_that_nobody_gets_out_of_does_not_silence_the_process(make_huey, monkeypatch):
    """A storage may hang there, or a subclass wait for its turn, while workers go on."""
    huey, waiting, held = make_huey("sqlite"), Held(), Held()
    read = huey.read_schedule
    huey.read_schedule = lambda *args: (waiting(), read(*args))[1]
    monkeypatch.setattr(tasks, "READING_SECONDS", 0.1)

    @huey.task()
    def job(*_):
        held()

    kit = install_handlers(huey)
    huey.enqueue(head := job.s())
    with ThreadPoolExecutor(1) as pool, at_work(huey, held):
        pool.submit(huey.read_schedule, None)
        assert waiting.there.wait(WAIT)
        kit._heartbeat.write()
        other = open_ledger(make_huey("sqlite", huey.name))
        (process,) = other.processes()
        assert (process.heartbeat.ids, process.heartbeat.unread) == ({head.id}, 1)
        with pytest.raises(UnreadableLedger):
            other.running_ids()
        waiting.go_on.set()


def by_a_subclass(huey, held):
    """It waits for its turn when it has the task."""
    base = type(huey)

    def dequeue(self):
        task = base.dequeue(self)
        if task is not None:
            held()
        return task

    huey.__class__ = type("Waiting", (base,), {"dequeue": dequeue})


def by_a_wrapper(huey, held):
    """Put around it before the kit came."""
    dequeue = huey.dequeue
    huey.dequeue = lambda: [dequeue(), held()][0]


@pytest.mark.parametrize("wrapped", [by_a_subclass, by_a_wrapper])
def test_a_dequeue_of_others_has_its_message_in_hand(make_huey, wrapped):
    """From when Huey's own has read it."""
    huey, held = make_huey("sqlite"), Held()

    @huey.task()
    def job(*_):
        return None

    wrapped(huey, held)
    install_handlers(huey)
    huey.enqueue(head := job.s().then(job))
    with at_work(huey, held):
        ids, unread = in_flight_ids(huey)
        assert (ids, unread) == ({head.id, head.on_complete.id}, 0) or unread == 1
    uninstall_handlers(huey)
    assert type(huey).deserialize_task is huey.deserialize_task.__func__


def test_a_worker_that_asks_for_more_from_inside_a_task_has_both(make_huey):
    """It works while it waits; what follows the outer one is yet to be enqueued."""
    huey, held = make_huey("sqlite"), Held()

    @huey.task()
    def inner():
        return None

    @huey.task()
    def outer(*_):
        huey.execute(huey.dequeue())

    install_handlers(huey)
    huey.enqueue(head := outer.s().then(outer))
    huey.enqueue(inner.s())
    after = []

    @huey.post_execute()
    def hold(task, *_):
        if task.id == head.id:
            after.append(held())

    with at_work(huey, held):
        assert {head.id, head.on_complete.id} <= open_ledger(huey).running_ids()


def test_a_task_that_another_thread_has_taken_over_is_in_hand(make_huey):
    """The worker has gone on to the next."""
    huey, held = make_huey("sqlite"), Held()

    @huey.task()
    def job(*_):
        return None

    @huey.pre_execute()
    def hold(task):
        held()

    execute, pool = huey.execute, ThreadPoolExecutor(1)
    huey.execute = lambda task, *rest: pool.submit(execute, task, *rest)
    install_handlers(huey)
    huey.enqueue(head := job.s().then(job))
    try:
        with at_work(huey, held) as worker:
            worker.join(WAIT)
            assert not worker.is_alive()
            assert open_ledger(huey).running_ids() == {head.id, head.on_complete.id}
    finally:
        pool.shutdown()


class Slotted:
    """What a Huey may make of a message: nothing that can be referred to weakly."""

    __slots__ = ("task",)

    def __init__(self, task):
        self.task = task

    def __getattr__(self, name):
        return getattr(self.task, name)


@pytest.mark.parametrize("made", [Slotted, lambda task: None])
def test_whatever_is_made_of_a_message_comes_out(make_huey, made):
    """As it does without the kit."""
    huey = make_huey("sqlite")

    @huey.task()
    def job():
        return None

    deserialize = huey.deserialize_task
    huey.deserialize_task = lambda raw: made(deserialize(raw))
    install_handlers(huey)
    huey.enqueue(head := job.s())
    assert getattr(huey.dequeue(), "id", head.id) == head.id
    assert open_ledger(huey).running_ids() == (set() if made is not Slotted else {head.id})
    assert huey.dequeue() is None
    wait_until(lambda: open_ledger(huey).running_ids() == set(), WAIT, "its end to be seen")


def test_a_lazy_argument_is_not_computed(make_huey):
    """It says of itself that it is a list, when asked."""

    class Lazy:
        @property
        def __class__(self):
            raise RuntimeError("computed")

    huey = make_huey("sqlite")

    @huey.task()
    def job(*_):
        return None

    install_handlers(huey)
    in_flight_of(huey).due_tasks = [head := job.s(Lazy(), [Lazy()])]
    assert in_flight_ids(huey) == ({head.id}, 0)


def test_immediate_mode_on_a_shared_storage_says_what_it_runs(make_huey):
    """While it does."""
    huey, held = make_huey("sqlite"), Held()
    huey.immediate_use_memory, huey.immediate = False, True

    @huey.task()
    def job(*_):
        held()

    kit = install_handlers(huey)
    other = open_ledger(make_huey("sqlite", huey.name))
    head = job.s().then(job)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(huey.enqueue, head)
        assert held.there.wait(WAIT)
        kit._heartbeat.write()
        assert other.running_ids() == {head.id, head.on_complete.id}
        held.go_on.set()
        running.result()
    kit._heartbeat.write()
    assert other.running_ids() == set()


def test_what_is_looked_at_is_not_taken(make_huey):
    """A thread that found nothing to take reads messages of all kinds."""
    huey = make_huey("sqlite")

    @huey.task()
    def job():
        return None

    install_handlers(huey)
    assert huey.dequeue() is None
    huey.enqueue(job.s())
    assert len(huey.pending()) == 1
    assert open_ledger(huey).running_ids() == set()


def test_a_kit_that_was_taken_off_notes_nothing(make_huey):
    """Although a wrapper of others keeps its own in place."""
    huey = make_huey("sqlite")

    @huey.task()
    def job():
        return None

    install_handlers(huey)
    dequeue = huey.dequeue
    huey.dequeue = lambda: dequeue()
    uninstall_handlers(huey)
    huey.enqueue(job.s())
    task = huey.dequeue()
    assert task is not None
    assert in_flight_ids(huey) == (set(), 0)


def test_a_process_that_has_only_run_tasks_leaves_no_record(make_huey):
    """Immediate mode writes none while a task runs, not even to a storage that is shared."""
    huey, held = make_huey("sqlite"), Held()
    huey.immediate_use_memory, huey.immediate = False, True

    @huey.task()
    def job():
        held()

    kit = install_handlers(huey)
    other = open_ledger(make_huey("sqlite", huey.name))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(job)
        assert held.there.wait(WAIT)
        kit.flush()
        assert other.processes() == []
        held.go_on.set()
        running.result()
    uninstall_handlers(huey)
    assert other.processes() == []


LATE = """
import sys
from huey import SqliteHuey
from huey_signals_kit import install_handlers
from gevent import monkey; monkey.patch_all()
import gevent
huey = SqliteHuey("q", filename=sys.argv[1])
kit = install_handlers(huey)
gevent.joinall([gevent.spawn(kit._on_worker_start) for _ in range(3)], timeout=20)
from huey_signals_kit.runtime.scheduler import scheduler
print(scheduler.thread is not None, flush=True)
"""


def test_gevent_may_patch_after_the_kit_was_imported(tmp_path):
    """Three workers start at once; a lock from before would hold up all of them."""
    command = [sys.executable, "-c", LATE, str(tmp_path / "q.db")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.stdout == "True\n", ran.stderr
