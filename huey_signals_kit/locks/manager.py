"""Takes and frees the locks of one Huey.

Huey writes ``'1'`` as a lock's value, and deletes whatever is there when it frees one. Here the
value names the holder, and the end of a lock frees that taking and no other: after its ``ttl`` ran
out, or after it was released as that of a dead process, somebody else may have it by then.
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
from ..inflight.claims import READING, in_flight_of, nothing
from ..metrics.counter import AGGREGATE_AT, MetricCounter
from ..runtime.scheduler import scheduler
from ..store import Keys, is_shared, open_store
from .cleared import ClearedLocks
from .held import ANONYMOUS, Acquisition, HeldKey, held_locks_of, key_of
from .holder import HolderEncoder
from .values import AnonymousLocks, delete_acquisition, is_anonymous

HUEYS_VALUE = "1"


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


class OwnedLock(TaskLock):  # type: ignore[misc]  # Huey has no types
    """What a lock of Huey becomes; a `LockManager` takes and frees it."""

    _manager: LockManager
    _key: str
    _name: str
    _huey: Any
    _ttl: Any = None  # Huey has it since 3.4

    def __enter__(self) -> OwnedLock:
        if not self._manager.acquire(self, self._key, self._ttl, True):
            raise TaskLockedException(f"unable to acquire lock {self._name}")
        return self

    def acquire(self) -> bool:
        """As Huey's, with the holder's name."""
        if not self._manager.acquire(self, self._key, self._ttl, False):
            raise TaskLockedException(f"unable to acquire lock {self._name}")
        return True

    def __exit__(self, *exc_info: object) -> None:
        self._manager.exit_block(self)

    def clear(self) -> Any:
        """As Huey's; in the process that holds it, it frees only what that has taken."""
        return self._manager.release(self._key)

    release = clear


class HueyProxy:
    """Stands in for the Huey of a lock that became another while it was being taken.

    A ``with`` statement looks for ``__exit__`` first: it will be the one of Huey's lock.
    """

    def __init__(self, huey: Any, lock: OwnedLock) -> None:
        self._huey = huey
        self._lock = lock

    def delete(self, key: str) -> None:
        """Huey's ``__exit__`` asks for that."""
        self._lock._manager.exit_block(self._lock)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._huey, name)


class LockManager:
    """Takes and frees the locks of one Huey, for one kit."""

    def __init__(self, huey: Any, text: HolderEncoder, events: LockEvents) -> None:
        self.huey = huey
        self._text = text
        self._on_acquire = events.on_acquire
        self._on_error = events.on_error
        self._on_lost = events.on_lost
        self._refusals, self._settle = events.counter.refusals, events.counter.aggregate_if_large
        self._prefix = Keys(huey).lock_prefix
        self._claims = in_flight_of(huey).by_thread
        self.held_locks = held_locks_of(huey)
        self._held = self.held_locks.held
        self._anonymous_locks: Any = AnonymousLocks(huey)
        self._cleared = ClearedLocks(huey)
        self.active = False
        self._storage: Any = None
        self._store: Any = None

    def adopt(self, lock: Any) -> bool:
        """Have *lock* be this desk's, if it is one of Huey's; whether it was."""
        if type(lock) is not TaskLock:
            return False
        lock.__class__ = OwnedLock
        lock._manager = self
        return True

    def acquire(self, lock: OwnedLock, key: str, ttl: Any, block: bool) -> Any:
        """What Huey's ``put_if_empty`` does, in the name of who asks."""
        if not self.active:
            return self._acquire_without_key(lock, key, ttl, block)
        huey, me = self.huey, threading.get_ident()
        claim, storage = self._claims.get(me), huey.storage
        task_ref = nothing if claim is None else claim.task_ref
        task = task_ref()
        try:
            if task is None or task is READING or not huey._tasks_in_flight:
                task = task_in_frames(sys._getframe(1))
            raw = self._text.write(task, huey.serializer)
            if storage is not self._storage or scheduler.thread is None:
                self._begin(storage)
        except Exception as exc:  # nothing of ours may cost anybody a lock
            self._on_error("while it named the holder of a lock", exc)
            return self._acquire_anonymous(lock, key, ttl, block)
        taken = (
            storage.put_if_empty(key, raw) if ttl is None else storage.put_if_empty(key, raw, ttl)
        )
        if taken:
            mine = (lock if block else key, me)
            acquisition = (raw, self._store, block, ttl is not None)
            if self._held.setdefault(mine, acquisition) is not acquisition:
                self._acquire_again(mine, acquisition)
            if not self.active:  # by now; its heartbeat may have been the last
                self._on_acquire()
        else:
            self._refusals.append(f"{lock._name}")
            if len(self._refusals) >= AGGREGATE_AT:
                self._settle()
        return taken

    def _acquire_again(self, mine: HeldKey, acquisition: Acquisition) -> None:
        before = self.held_locks.replace(mine, acquisition)
        if before is None or not self.held_locks.should_report_lost(before):
            return
        if before[2] or not before[3]:  # else its ttl was to run out
            self._report_lost(key_of(mine), before)

    def _acquire_without_key(self, lock: OwnedLock, key: str, ttl: Any, block: bool) -> Any:
        other = self.held_locks.manager()  # of a kit that has taken the place of this one
        if other is not None:
            lock._manager = other
            return other.acquire(lock, key, ttl, block)
        return self._acquire_anonymous(lock, key, ttl, block)

    def _acquire_anonymous(self, lock: OwnedLock, key: str, ttl: Any, block: bool) -> Any:
        taken = self.huey.put_if_empty(key, HUEYS_VALUE, *(() if ttl is None else (ttl,)))
        if taken:
            mine = (lock if block else key, threading.get_ident())
            acquisition = (ANONYMOUS, self._anonymous_locks, block, ttl is not None)
            if self._held.setdefault(mine, acquisition) is not acquisition:
                self._acquire_again(mine, acquisition)
        elif self.active:
            self._refusals.append(f"{lock._name}")
        return taken

    def exit_block(self, lock: OwnedLock) -> None:
        """Free what a ``with`` block of *lock* in this thread has taken."""
        mine = (lock, threading.get_ident())
        acquisition = self._held.pop(mine, None)
        if acquisition is None:
            self._exit_other_thread(mine)
        else:
            self._release(lock._key, acquisition)

    def _exit_other_thread(self, mine: HeldKey) -> None:
        key, me = key_of(mine), mine[1]
        ended = self.held_locks.exit_block(mine)
        acquired = self._held.pop((key, me), None) if isinstance(ended, bool) else None
        if acquired is not None:  # since the block's own was cleared in it
            self._release(key, acquired)
        elif isinstance(ended, tuple):
            self._release(key, ended)
        elif not ended:
            self._exit_unknown(key)

    def release(self, key: str) -> Any:
        """Free what this process has taken; what it has not, whatever it is."""
        found = self.held_locks.release(key, threading.get_ident())
        if found is not None:
            return self._release(key, found)
        if self.active:
            try:
                self._cleared.note(key)
            except Exception as exc:
                self._on_error("while it recorded that a lock was cleared", exc)
        return self.huey.delete(key)

    def _release(self, key: str, acquisition: Acquisition) -> bool:
        raw, store, _, _ = acquisition
        try:
            freed = delete_acquisition(store, key, raw)
        except BaseException:
            if raw != ANONYMOUS:  # else nobody could tell later whose it is
                self.held_locks.failed_releases.append((key, acquisition))
            raise
        if not freed and self.held_locks.should_report_lost(acquisition):
            self._report_lost(key, acquisition)
        return freed

    def detect_lost(self) -> None:
        """See that what this process holds is still its own."""
        live = self.held_locks.live()
        for store in {id(store): store for _, store, *_ in live.values()}.values():
            here = [mine for mine, each in live.items() if each[1] is store]
            for mine, raw in zip(here, store.get([key_of(each) for each in here]), strict=True):
                acquisition = live[mine]
                gone = raw != acquisition[0] and self._held.get(mine) is acquisition
                if gone and self.held_locks.mark_lost(mine, acquisition):
                    self._report_lost(key_of(mine), acquisition)

    def _report_lost(self, key: str, acquisition: Acquisition) -> None:
        with suppress(Exception):  # if the list cannot be read, report the lock as lost
            if self._cleared.has(acquisition[0]):
                return
        # The kit that is there counts it, not one that has gone since.
        manager = self.held_locks.manager() or self
        manager._on_lost(self.name(key))

    def name(self, key: str) -> str:
        """That of the lock."""
        return key[len(self._prefix) :]

    def _exit_unknown(self, key: str) -> None:
        """Taken before the kit came, and so without a name; or named, and then not this one."""
        if is_anonymous(self.huey, key):
            self.huey.delete(key)

    def _begin(self, storage: Any) -> None:
        # Huey takes another storage when it is switched to immediate mode.
        self._store, self._storage = open_store(self.huey), storage
        if is_shared(storage):
            self.held_locks.storage = storage
        self._on_acquire()
