"""What a process notes about the locks that it holds, where the usual path is not taken."""

from __future__ import annotations

import threading
import time

import pytest
from huey import MemoryHuey
from huey.exceptions import TaskLockedException

from huey_signals_kit import install_handlers
from huey_signals_kit.locks import held, holder
from huey_signals_kit.locks.held import ANONYMOUS, HeldLocks, held_locks_of
from huey_signals_kit.locks.holder import HolderEncoder, parse_holder
from huey_signals_kit.locks.values import AnonymousLocks, delete_acquisition
from huey_signals_kit.metrics.labels import FoldedLabels
from huey_signals_kit.store import open_store


def acquisition(raw, is_block=False):
    """Return an acquisition without a ttl."""
    return (raw, None, is_block, False)


def test_two_acquisitions_at_one_tick_of_the_clock_have_different_values(monkeypatch):
    """A coarse clock may not move between them."""
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    huey, encoder = MemoryHuey("ticks"), HolderEncoder()
    values = [encoder.encode(None, huey.serializer) for _ in range(2)]
    first, second = (parse_holder(huey.serializer.deserialize(value)) for value in values)
    assert first.acquisition_id != second.acquisition_id


def test_a_process_that_makes_classes_without_end_keeps_few_templates(monkeypatch):
    """Each value still names its task."""
    monkeypatch.setattr(holder, "_MAX_TEMPLATES", 2)
    huey, encoder = MemoryHuey("templates"), HolderEncoder()
    for number in range(5):
        task = huey.task(name=f"task_{number}")(lambda: None).s()
        for _ in range(2):
            value = huey.serializer.deserialize(encoder.encode(task, huey.serializer))
            assert parse_holder(value).task_name.endswith(f"task_{number}")
        assert len(encoder._templates) <= 2


def test_the_cache_of_labels_is_cleared_when_it_is_full():
    """The labels themselves stay."""
    labels = FoldedLabels(max_cached=2)
    assert [labels[f"media:{number}"] for number in range(5)] == ["media:*"] * 5
    assert len(labels) <= 2


def test_a_loss_that_is_noticed_twice_is_reported_once():
    """The heartbeat and the holder may both see it."""
    locks, lost = HeldLocks(), acquisition(b"value", is_block=True)
    assert locks.mark_lost(("key", 1), lost)
    assert not locks.mark_lost(("key", 1), lost)
    assert not locks.should_report_lost(lost)
    assert locks.should_report_lost(lost)  # it is forgotten


def test_a_process_that_loses_locks_without_end_remembers_few(monkeypatch):
    """First those that have ended are forgotten, then those that no block will end."""
    monkeypatch.setattr(held, "_MAX_LOST", 2)
    locks = HeldLocks()
    in_block, ended, open_ended = (
        acquisition(b"a", is_block=True),
        acquisition(b"b"),
        acquisition(b"c"),
    )
    locks.held.update({("a", 1): in_block, ("c", 1): open_ended})
    for key, lost in (("a", in_block), ("b", ended), ("c", open_ended)):
        locks.mark_lost((key, 1), lost)
    assert set(locks._lost) == {id(in_block)}
    assert set(locks.held) == {("a", 1)}


class Away(ConnectionError):
    """The storage cannot be reached."""


def test_a_lock_that_cannot_be_read_counts_as_one_without_a_holder():
    """So the end of its block deletes it, as Huey does; if the storage is away, it raises."""
    huey, errors = MemoryHuey("unreadable"), iter([ValueError("no such method"), Away("gone")])

    def fail(key):
        raise next(errors)

    huey.storage.peek_data = fail
    locks = AnonymousLocks(huey)
    assert locks.get(["key"]) == [ANONYMOUS]
    with pytest.raises(Away):
        locks.get(["key"])


class Refusing:
    """A store that refuses to compare and delete in one step."""

    def __init__(self, store, read_error=None):
        self._store, self._read_error = store, read_error

    def compare_and_delete(self, key, value):
        """Refuse, as a server without scripts may."""
        raise ValueError("not allowed")

    def get(self, keys):
        """Read, or fail."""
        if self._read_error is not None:
            raise self._read_error
        return self._store.get(keys)

    def delete(self, keys):
        """Delete."""
        return self._store.delete(keys)


@pytest.mark.parametrize(
    ("stored", "read_error", "is_deleted"),
    [
        (b"mine", None, True),
        (b"another's", None, False),
        (b"another's", ValueError("cannot read"), True),
    ],
)
def test_a_release_reads_first_where_one_step_is_refused(stored, read_error, is_deleted):
    """Where it cannot read either, it deletes as Huey does."""
    store = open_store(MemoryHuey("refusing"))
    store.put_if_absent("key", stored)
    assert delete_acquisition(Refusing(store, read_error), "key", b"mine") is is_deleted
    assert store.get(["key"]) == [None if is_deleted else stored]


def test_a_release_deletes_nothing_while_the_storage_is_away():
    """It is retried with the next heartbeat."""
    store = open_store(MemoryHuey("away"))
    store.put_if_absent("key", b"mine")
    with pytest.raises(Away):
        delete_acquisition(Refusing(store, Away("gone")), "key", b"mine")
    assert store.get(["key"]) == [b"mine"]


def test_a_lock_that_expired_is_acquired_again_without_a_report():
    """The ttl ended outside of a block, as it is meant to."""
    huey = MemoryHuey("again")
    kit = install_handlers(huey)
    lock = huey.lock_task("held")
    acquire = getattr(lock, "acquire", lock.__enter__)
    acquire()
    huey.storage.delete_data("again.lock.held")
    acquire()
    kit.uninstall()
    assert held_locks_of(huey).held
    lock.clear()


def test_a_lock_without_a_holder_is_acquired_again_by_its_thread(monkeypatch):
    """The kit could not name the holder, so the lock is Huey's own."""
    huey = MemoryHuey("anonymous")
    install_handlers(huey)

    def fail(*args):
        raise ValueError("a fault of the kit")

    monkeypatch.setattr(HolderEncoder, "encode", fail)
    lock = huey.lock_task("held")
    for _ in range(2):
        lock.__enter__()
        huey.storage.delete_data("anonymous.lock.held")
    lock.__exit__(None, None, None)
    lock.__enter__()
    with pytest.raises(TaskLockedException):
        huey.lock_task("held").__enter__()
    assert threading.get_ident() in {thread for _, thread in held_locks_of(huey).held}
    lock.__exit__(None, None, None)
