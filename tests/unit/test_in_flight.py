"""What is in flight: through wrappers that have stayed, subclasses, and messages full of ids."""

from __future__ import annotations

from uuid import uuid4

import pytest
from huey import MemoryHuey

from huey_signals_kit import install_handlers
from huey_signals_kit.inflight import tasks as inflight_tasks
from huey_signals_kit.inflight.claims import in_flight_of


class Logging(MemoryHuey):
    """A subclass with a ``dequeue`` of its own."""

    def dequeue(self):
        """As Huey does."""
        return super().dequeue()


@pytest.mark.parametrize("cls", [MemoryHuey, Logging])
def test_a_queue_is_read_through_the_wrappers_that_have_stayed(cls):
    """Nothing is recorded as in flight."""
    huey = cls("stayed")
    task = huey.task()(lambda: 7)
    kit = install_handlers(huey)
    for name in ("dequeue", "read_schedule", "lock_task"):
        inner = getattr(huey, name)
        setattr(huey, name, lambda *args, inner=inner, **options: inner(*args, **options))
    kit.uninstall()
    result = task()
    later = task.schedule(delay=-1)
    for due in huey.read_schedule(None):
        huey.enqueue(due)
    while (each := huey.dequeue()) is not None:
        huey.execute(each)
    assert (result(), later()) == (7, 7)
    with huey.lock_task("held"):
        assert huey.get("stayed.lock.held", peek=True) == "1"
    assert in_flight_of(huey).claimed() == []


def test_a_dequeue_of_a_subclass_that_finds_nothing_has_nothing_in_flight():
    """And a message that this thread deserializes without it is not in flight."""
    huey = Logging("empty")
    task = huey.task()(lambda: None)
    install_handlers(huey)
    assert huey.dequeue() is None
    message = huey.serialize_task(task.s())
    kept = huey.deserialize_task(message)
    assert in_flight_of(huey).claimed() == []
    task()
    taken = huey.dequeue()
    assert [claimed for _, claimed in in_flight_of(huey).claimed()] == [taken]
    assert kept is not taken


def test_a_task_with_too_many_ids_is_unread(monkeypatch):
    """A sweep then keeps all tokens, because any of them may be one of these."""
    monkeypatch.setattr(inflight_tasks, "MAX_IDS", 2)
    huey = MemoryHuey("ids")
    install_handlers(huey)
    task = huey.task()(lambda *others: None)
    ids = [str(uuid4()) for _ in range(3)]
    task(*ids)
    taken = huey.dequeue()
    assert [each for _, each in inflight_tasks.claimed_tasks(huey)] == [None]
    huey._tasks_in_flight.add(direct := task.s(*ids))
    assert (direct, None) in list(inflight_tasks.claimed_tasks(huey))
    huey._tasks_in_flight.clear()
    assert taken.args == tuple(ids)
