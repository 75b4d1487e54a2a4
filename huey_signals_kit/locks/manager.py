"""Acquire and release the locks of one Huey.

Huey writes ``'1'`` as a lock's value, and deletes whatever is stored when it releases one. Here the
value names the holder, and a release deletes this acquisition and no other: if the lock's ttl has
expired, or it was released because its holder seemed dead, another task may hold it by that time.

Each acquisition is recorded under the object that acquired it and the thread (`HeldKey`), because
the end of a ``with`` block knows nothing else. Most code below handles what is not the ordinary
case: a block that ends in another thread, a lock that was cleared inside its block, a lock that was
acquired before the kit was installed, and a kit that is replaced while locks are held.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from huey.api import TaskLock
from huey.exceptions import TaskLockedException

from ..huey_internals.stack import task_in_frames
from ..inflight.claims import DESERIALIZING, in_flight_of, no_task_ref
from ..metrics.counter import AGGREGATE_AT, MetricCounter
from ..runtime.scheduler import scheduler
from ..store import Keys, is_shared, open_store
from .cleared import ClearedLocks
from .held import ANONYMOUS, Acquisition, HeldKey, held_locks_of, key_of
from .holder import HolderEncoder
from .values import AnonymousLocks, delete_acquisition, is_anonymous

HUEYS_VALUE = "1"
"""The value that Huey writes."""


class LockEvents(NamedTuple):
    """Callbacks of a `LockManager`, and the counts it adds to."""

    on_acquire: Callable[[], object]
    """Called before the first lock of a storage, and while the scheduler does not run."""
    on_lost: Callable[[str], object]
    """Called with the name of a lock that this process lost without releasing it."""
    on_error: Callable[[str, Exception], object]
    """Called with what the kit was doing, and the exception that kept it from doing it."""
    counter: MetricCounter
    """Counts refused locks."""
    is_test: bool = False
    """Whether the kit is one of a test, which other processes must not notice."""


class OwnedLock(TaskLock):  # type: ignore[misc]  # Huey has no types
    """A lock of Huey's that a `LockManager` acquires and releases.

    It is never created: `LockManager.adopt` changes the class of an existing lock.
    """

    _manager: LockManager
    _key: str
    _name: str
    _huey: Any
    _ttl: Any = None  # Huey sets it since 3.4

    def __enter__(self) -> OwnedLock:
        if not self._manager.acquire(self, self._key, self._ttl, True):
            raise TaskLockedException(f"unable to acquire lock {self._name}")
        return self

    def acquire(self) -> bool:
        """Acquire the lock as Huey does, with the holder's name as its value.

        Raises:
            TaskLockedException: The lock is held.
        """
        if not self._manager.acquire(self, self._key, self._ttl, False):
            raise TaskLockedException(f"unable to acquire lock {self._name}")
        return True

    def __exit__(self, *exc_info: object) -> None:
        self._manager.exit_block(self)

    def clear(self) -> Any:
        """Release the lock as Huey does; in the holder's process, only its own acquisition."""
        return self._manager.release(self._key)

    release = clear


class HueyProxy:
    """A proxy for the Huey of a lock that was adopted inside its own ``__enter__``.

    The ``with`` statement looks up ``__exit__`` before it calls ``__enter__``, so Huey's
    ``__exit__`` will end this block, although the lock's class has changed. It calls ``delete`` on
    the lock's Huey.
    """

    def __init__(self, huey: Any, lock: OwnedLock) -> None:
        self._huey = huey
        self._lock = lock

    def delete(self, key: str) -> None:
        """End the block; called by Huey's ``__exit__``."""
        self._lock._manager.exit_block(self._lock)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._huey, name)


class LockManager:
    """The locks of one Huey, acquired and released for one kit.

    Args:
        huey: The Huey.
        encoder: Writes the values.
        events: The callbacks.
    """

    def __init__(self, huey: Any, encoder: HolderEncoder, events: LockEvents) -> None:
        self.huey = huey
        self._encoder = encoder
        self._on_acquire = events.on_acquire
        self._on_error = events.on_error
        self._on_lost = events.on_lost
        self._refusals = events.counter.refusals
        self._aggregate = events.counter.aggregate_if_large
        self._is_test = events.is_test
        self._prefix = Keys(huey).lock_prefix
        self._claims = in_flight_of(huey).by_thread
        self.held_locks = held_locks_of(huey)
        self._held = self.held_locks.held
        self._anonymous_locks: Any = AnonymousLocks(huey)
        self._cleared = ClearedLocks(huey)
        self.active = False
        """Whether the kit is installed."""
        self._storage: Any = None
        self._store: Any = None

    def adopt(self, lock: Any) -> bool:
        """Make `lock` an `OwnedLock` of this manager; return False if it is not Huey's own."""
        if type(lock) is not TaskLock:
            return False
        lock.__class__ = OwnedLock
        lock._manager = self
        return True

    def acquire(self, lock: OwnedLock, key: str, ttl: Any, is_block: bool) -> Any:
        """Acquire a lock as Huey's ``put_if_empty`` does, with the holder's name as its value.

        Hot path: called for every acquisition. The task is the one whose message this thread has
        dequeued. The call stack is searched only if there is none.

        Args:
            lock: The lock.
            key: Its stored key.
            ttl: Seconds until the lock expires; None for never.
            is_block: Whether a ``with`` block acquires it.
        """
        if not self.active:
            return self._acquire_uninstalled(lock, key, ttl, is_block)
        huey, thread_id = self.huey, threading.get_ident()
        claim, storage = self._claims.get(thread_id), huey.storage
        task_ref = no_task_ref if claim is None else claim.task_ref
        task = task_ref()
        try:
            if task is None or task is DESERIALIZING or not huey._tasks_in_flight:
                task = task_in_frames(sys._getframe(1))
            raw = self._encoder.encode(task, huey.serializer)
            if storage is not self._storage or scheduler.thread is None:
                self._prepare(storage)
        except Exception as exc:  # an error of the kit must not refuse a lock
            self._on_error("while it named the holder of a lock", exc)
            return self._acquire_anonymous(lock, key, ttl, is_block)
        acquired = (
            storage.put_if_empty(key, raw) if ttl is None else storage.put_if_empty(key, raw, ttl)
        )
        if acquired:
            held_key = (lock if is_block else key, thread_id)
            acquisition = (raw, self._store, is_block, ttl is not None)
            if self._held.setdefault(held_key, acquisition) is not acquisition:
                self._replace(held_key, acquisition)
            if not self.active:  # uninstalled meanwhile; the last heartbeat may have been written
                self._on_acquire()
        else:
            self._refusals.append(f"{lock._name}")
            if len(self._refusals) >= AGGREGATE_AT:
                self._aggregate()
        return acquired

    def _replace(self, held_key: HeldKey, acquisition: Acquisition) -> None:
        """Record an acquisition of a lock that this thread already holds."""
        before = self.held_locks.replace(held_key, acquisition)
        if before is None or not self.held_locks.should_report_lost(before):
            return
        _, _, is_block, has_ttl = before
        if is_block or not has_ttl:  # a lock with a ttl, outside of a block, is meant to expire
            self._report_lost(key_of(held_key), before)

    def _acquire_uninstalled(self, lock: OwnedLock, key: str, ttl: Any, is_block: bool) -> Any:
        """Acquire a lock after this kit was uninstalled, for the kit that has replaced it."""
        successor = self.held_locks.manager()
        if successor is not None:
            lock._manager = successor
            return successor.acquire(lock, key, ttl, is_block)
        return self._acquire_anonymous(lock, key, ttl, is_block)

    def _acquire_anonymous(self, lock: OwnedLock, key: str, ttl: Any, is_block: bool) -> Any:
        acquired = self.huey.put_if_empty(key, HUEYS_VALUE, *(() if ttl is None else (ttl,)))
        if acquired:
            held_key = (lock if is_block else key, threading.get_ident())
            acquisition = (ANONYMOUS, self._anonymous_locks, is_block, ttl is not None)
            if self._held.setdefault(held_key, acquisition) is not acquisition:
                self._replace(held_key, acquisition)
        elif self.active:
            self._refusals.append(f"{lock._name}")
        return acquired

    def exit_block(self, lock: OwnedLock) -> None:
        """Release what a ``with`` block of `lock` has acquired in this thread."""
        held_key = (lock, threading.get_ident())
        acquisition = self._held.pop(held_key, None)
        if acquisition is None:
            self._exit_other_thread(held_key)
        else:
            self._release(lock._key, acquisition)

    def _exit_other_thread(self, held_key: HeldKey) -> None:
        """End a block that this thread has no acquisition of."""
        key, thread_id = key_of(held_key), held_key[1]
        ended = self.held_locks.exit_block(held_key)
        # A lock that was cleared inside its block, and acquired again without a block.
        reacquired = self._held.pop((key, thread_id), None) if isinstance(ended, bool) else None
        if reacquired is not None:
            self._release(key, reacquired)
        elif isinstance(ended, tuple):
            self._release(key, ended)
        elif not ended:
            self._exit_unknown(key)

    def release(self, key: str) -> Any:
        """Release a lock for ``clear()``: this process's own acquisition, else whatever is stored.

        Args:
            key: The stored key of the lock.
        """
        acquisition = self.held_locks.release(key, threading.get_ident())
        if acquisition is not None:
            return self._release(key, acquisition)
        if self.active and not self._is_test:
            try:
                self._cleared.note(key)
            except Exception as exc:
                self._on_error("while it recorded that a lock was cleared", exc)
        return self.huey.delete(key)

    def _release(self, key: str, acquisition: Acquisition) -> bool:
        raw, store, _, _ = acquisition
        try:
            deleted = delete_acquisition(store, key, raw)
        except BaseException:
            if raw != ANONYMOUS:  # without a value to compare, a later delete could hit another
                self.held_locks.failed_releases.append((key, acquisition))
            raise
        if not deleted and self.held_locks.should_report_lost(acquisition):
            self._report_lost(key, acquisition)
        return deleted

    def detect_lost(self) -> None:
        """Compare the stored values with what this process holds; report lost locks."""
        live = self.held_locks.live()
        stores = {id(store): store for _, store, *_ in live.values()}
        for store in stores.values():
            held_keys = [key for key, acquisition in live.items() if acquisition[1] is store]
            values = store.get([key_of(held_key) for held_key in held_keys])
            for held_key, raw in zip(held_keys, values, strict=True):
                acquisition = live[held_key]
                is_lost = raw != acquisition[0] and self._held.get(held_key) is acquisition
                if is_lost and self.held_locks.mark_lost(held_key, acquisition):
                    self._report_lost(key_of(held_key), acquisition)

    def _report_lost(self, key: str, acquisition: Acquisition) -> None:
        with suppress(Exception):  # if the list cannot be read, report the lock as lost
            if self._cleared.has(acquisition[0]):
                return
        # The installed kit counts it, even if this one acquired the lock.
        manager = self.held_locks.manager() or self
        manager._on_lost(self.name(key))

    def name(self, key: str) -> str:
        """Return the name of the lock with this stored key."""
        return key[len(self._prefix) :]

    def _exit_unknown(self, key: str) -> None:
        """End a block of a lock that was acquired before the kit was installed.

        Huey wrote no name in that case. A value that names a holder is another acquisition.
        """
        if is_anonymous(self.huey, key):
            self.huey.delete(key)

    def _prepare(self, storage: Any) -> None:
        # Huey replaces its storage when it is switched to immediate mode.
        self._store, self._storage = open_store(self.huey), storage
        if is_shared(storage):
            self.held_locks.storage = storage
        self._on_acquire()
