"""A task that stands nowhere but in a process: the scheduler's, or one that learns it late."""

from __future__ import annotations

import datetime
import subprocess
import sys
import threading
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from huey_signals_kit import install_handlers
from huey_signals_kit.ledger import open_ledger
from tests.consumer.harness import ROOT
from tests.faults.test_in_flight import WAIT, Held, at_work
from tests.support import wait_until

PAST = datetime.datetime(2001, 1, 1)


def scheduled(huey, number=3):
    """Tasks that are due, each with another one nested; the ids of all."""

    @huey.task()
    def job(*_):
        return None

    heads = [job.s(eta=PAST).then(job) for _ in range(number)]
    for head in heads:
        huey.add_schedule(head)
    return {each for head in heads for each in (head.id, head.on_complete.id)}


@contextmanager
def scheduling(huey, held):
    """A scheduler of Huey's own, held up where it is."""
    scheduler = huey.create_consumer()._create_scheduler()
    thread = threading.Thread(target=scheduler.loop)
    thread.start()
    try:
        assert held.there.wait(WAIT)
        yield
    finally:
        held.go_on.set()
        thread.join()


def held_up(huey, held):
    """Whoever enqueues a task has to wait."""
    enqueue = huey.enqueue
    huey.enqueue = lambda task: (held(), enqueue(task))[1]


def test_what_was_due_is_in_hand_until_it_is_enqueued(make_huey):
    """All of it, with what is nested, while the first is on its way."""
    huey, held = make_huey("sqlite"), Held()
    ids = scheduled(huey)
    held_up(huey, held)
    install_handlers(huey)
    with scheduling(huey, held):
        assert huey.scheduled() == huey.pending() == []
        assert open_ledger(huey).running_ids() == ids
    assert len(huey.pending()) == 3
    assert huey.read_schedule() == []
    # What a beat of just now has written stands until the next one.
    wait_until(lambda: open_ledger(huey).running_ids() == set(), WAIT, "the next beat")


def test_a_schedule_that_is_being_read_is_waited_for(make_huey):
    """It has left the storage, and the scheduler does not have it yet."""
    huey, held, on_the_way = make_huey("sqlite"), Held(), Held()
    ids = scheduled(huey)
    held_up(huey, on_the_way)
    install_handlers(huey)
    read = huey.storage.read_schedule
    huey.storage.read_schedule = lambda *rest: (read(*rest), held())[0]
    with ThreadPoolExecutor(1) as pool, scheduling(huey, held):
        asked = pool.submit(open_ledger(huey).running_ids)
        with pytest.raises(futures.TimeoutError):
            asked.result(timeout=0.3)
        held.go_on.set()
        assert asked.result(timeout=WAIT) in (ids, set())
        assert on_the_way.there.wait(WAIT)
        assert open_ledger(huey).running_ids() == ids
        on_the_way.go_on.set()


def test_a_consumers_heartbeat_names_what_was_due(make_huey):
    """For sweepers elsewhere."""
    huey, held = make_huey("sqlite"), Held()
    ids = scheduled(huey)
    held_up(huey, held)
    kit = install_handlers(huey)
    with scheduling(huey, held):
        kit._on_worker_start()
        kit._heartbeat.write()
        (process,) = open_ledger(make_huey("sqlite", huey.name)).processes()
        assert process.heartbeat.ids == ids
        assert process.heartbeat.running == ()


def test_ids_in_the_arguments_of_a_running_task_are_alive(make_huey):
    """As they are in the queue: it may make tasks of them."""
    huey, held = make_huey("sqlite"), Held()

    @huey.task()
    def later(*_, **__):
        held()

    a, b = later.s(), later.s()
    huey.enqueue(later.s([a.id], more={"like": b.id}))
    with at_work(huey, held):
        assert {a.id, b.id} <= open_ledger(huey).running_ids()
        kit = install_handlers(huey)
        kit._heartbeat.write()
        assert {a.id, b.id} <= open_ledger(make_huey("sqlite", huey.name)).running_ids()


def test_a_kit_that_comes_while_workers_run_knows_it(make_huey):
    """It beats as they do, although no hook of its was called, and so does one that replaces it."""
    huey, held = make_huey("sqlite"), Held()

    @huey.task()
    def job():
        held()

    huey.enqueue(task := job.s().then(job))
    with at_work(huey, held):
        for preset in ("quiet-locks", "observe"):
            kit = install_handlers(huey, preset, replace=True)
            kit._heartbeat.write()
            found = open_ledger(make_huey("sqlite", huey.name)).processes()
            assert [each.heartbeat.worker for each in found] == ["thread"]
            assert found[0].heartbeat.ids == {task.id, task.on_complete.id}


def test_a_startup_hook_may_install_it(make_huey):
    """Huey is going through its hooks at that moment; the first beat with a task says worker."""
    huey, installed, beaten = make_huey("sqlite"), [], []

    @huey.on_startup()
    def install():
        installed.append(install_handlers(huey))

    @huey.on_shutdown()
    def uninstall():
        installed[0].uninstall()

    @huey.task()
    def job():
        installed[0]._heartbeat.write()
        beaten.extend(open_ledger(make_huey("sqlite", huey.name)).processes())

    worker = huey.create_consumer()._create_worker()
    worker.initialize()
    job()
    worker.loop()
    assert [each.heartbeat.worker for each in beaten] == ["thread"]
    worker.shutdown()
    assert not installed[0].installed


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import sys, datetime, gevent, gevent.event
from huey import SqliteHuey
from huey_signals_kit import install_handlers
from huey_signals_kit.ledger import open_ledger
huey = SqliteHuey("q", filename=sys.argv[1])
go_on, hands = gevent.event.Event(), []

@huey.task()
def job(*_): return None

@huey.post_execute()
def hold(*_): hands.append(1); go_on.wait(30)

install_handlers(huey)
running, due = job.s().then(job), job.s(eta=datetime.datetime(2001, 1, 1))
huey.enqueue(running)
huey.add_schedule(due)
enqueue = huey.enqueue
huey.enqueue = lambda task: (hands.append(1), go_on.wait(30), enqueue(task))
consumer = huey.create_consumer()
spawned = [gevent.spawn(consumer._create_worker().loop)]
spawned += [gevent.spawn(consumer._create_scheduler().loop)]
while len(hands) < 2: gevent.sleep(0.01)
expected = {running.id, running.on_complete.id, due.id}
print(open_ledger(huey).running_ids() == expected)
go_on.set()
gevent.joinall(spawned, timeout=30)
huey.enqueue = enqueue
huey.read_schedule()
print(open_ledger(huey).running_ids() == set())
"""


def test_what_greenlets_have_in_hand_is_seen_too(tmp_path):
    """Both a worker's, between its function and what follows, and the scheduler's."""
    command = [sys.executable, "-c", GREENLETS, str(tmp_path / "q.db")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.stdout == "True\nTrue\n", ran.stderr
