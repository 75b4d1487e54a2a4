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
from ..metrics.counter import SETTLE_AT, Counts
from ..runtime.scheduler import tick
from ..store import Keys, is_shared, open_store
from .cleared import ClearedLocks
from .held import BARE, Mine, Taking, key_of, takings_of
from .holder import HolderText
from .values import BareLocks, delete_taken, names_nobody

HUEYS_VALUE = "1"


class Told(NamedTuple):
    """Callbacks of a `LockDesk`, and the counts it adds to."""

    taken: Callable[[], object]
    """Called before the first lock on a storage is taken, and while the tick does not run."""
    lost: Callable[[str], object]
    """With the name of a lock that is not this process's any more, although it has not freed it."""
    counts: Counts
    """Where refusals are counted."""
    failed: Callable[[str, Exception], object]
    """With what kept a lock from having a name."""


class NamedLock(TaskLock):  # type: ignore[misc]  # Huey has no types
    """What a lock of Huey becomes; a `LockDesk` takes and frees it."""

    _desk: LockDesk
    _key: str
    _name: str
    _huey: Any
    _ttl: Any = None  # Huey has it since 3.4

    def __enter__(self) -> NamedLock:
        if not self._desk.take(self, self._key, self._ttl, True):
            raise TaskLockedException(f"unable to acquire lock {self._name}")
        return self

    def acquire(self) -> bool:
        """As Huey's, with the holder's name."""
        if not self._desk.take(self, self._key, self._ttl, False):
            raise TaskLockedException(f"unable to acquire lock {self._name}")
        return True

    def __exit__(self, *exc_info: object) -> None:
        self._desk.end(self)

    def clear(self) -> Any:
        """As Huey's; in the process that holds it, it frees only what that has taken."""
        return self._desk.clear(self._key)

    release = clear


class EndsAtDesk:
    """Stands in for the Huey of a lock that became another while it was being taken.

    A ``with`` statement looks for ``__exit__`` first: it will be the one of Huey's lock.
    """

    def __init__(self, huey: Any, lock: NamedLock) -> None:
        self._huey = huey
        self._lock = lock

    def delete(self, key: str) -> None:
        """Huey's ``__exit__`` asks for that."""
        self._lock._desk.end(self._lock)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._huey, name)


class LockDesk:
    """Takes and frees the locks of one Huey, for one kit."""

    def __init__(self, huey: Any, text: HolderText, told: Told) -> None:
        self.huey = huey
        self._text = text
        self._taken = told.taken
        self._failed = told.failed
        self._tell_lost = told.lost
        self._refusals, self._settle = told.counts.refusals, told.counts.settle_some
        self._prefix = Keys(huey).lock_prefix
        self._claims = in_flight_of(huey).by_thread
        self.takings = takings_of(huey)
        self._held = self.takings.held
        self._bare: Any = BareLocks(huey)
        self._cleared = ClearedLocks(huey)
        self.active = False
        self._storage: Any = None
        self._store: Any = None

    def adopt(self, lock: Any) -> bool:
        """Have *lock* be this desk's, if it is one of Huey's; whether it was."""
        if type(lock) is not TaskLock:
            return False
        lock.__class__ = NamedLock
        lock._desk = self
        return True

    def take(self, lock: NamedLock, key: str, ttl: Any, block: bool) -> Any:
        """What Huey's ``put_if_empty`` does, in the name of who asks."""
        if not self.active:
            return self._take_elsewhere(lock, key, ttl, block)
        huey, me = self.huey, threading.get_ident()
        claim, storage = self._claims.get(me), huey.storage
        task_ref = nothing if claim is None else claim.task_ref
        task = task_ref()
        try:
            if task is None or task is READING or not huey._tasks_in_flight:
                task = task_in_frames(sys._getframe(1))
            raw = self._text.write(task, huey.serializer)
            if storage is not self._storage or tick.thread is None:
                self._begin(storage)
        except Exception as exc:  # nothing of ours may cost anybody a lock
            self._failed("while it named the holder of a lock", exc)
            return self._take_bare(lock, key, ttl, block)
        taken = (
            storage.put_if_empty(key, raw) if ttl is None else storage.put_if_empty(key, raw, ttl)
        )
        if taken:
            mine = (lock if block else key, me)
            taking = (raw, self._store, block, ttl is not None)
            if self._held.setdefault(mine, taking) is not taking:
                self._take_again(mine, taking)
            if not self.active:  # by now; its heartbeat may have been the last
                self._taken()
        else:
            self._refusals.append(f"{lock._name}")
            if len(self._refusals) >= SETTLE_AT:
                self._settle()
        return taken

    def _take_again(self, mine: Mine, taking: Taking) -> None:
        before = self.takings.replace(mine, taking)
        if before is None or not self.takings.untold(before):
            return
        if before[2] or not before[3]:  # else its ttl was to run out
            self._tell(key_of(mine), before)

    def _take_elsewhere(self, lock: NamedLock, key: str, ttl: Any, block: bool) -> Any:
        other = self.takings.desk()  # of a kit that has taken the place of this one
        if other is not None:
            lock._desk = other
            return other.take(lock, key, ttl, block)
        return self._take_bare(lock, key, ttl, block)

    def _take_bare(self, lock: NamedLock, key: str, ttl: Any, block: bool) -> Any:
        taken = self.huey.put_if_empty(key, HUEYS_VALUE, *(() if ttl is None else (ttl,)))
        if taken:
            mine = (lock if block else key, threading.get_ident())
            taking = (BARE, self._bare, block, ttl is not None)
            if self._held.setdefault(mine, taking) is not taking:
                self._take_again(mine, taking)
        elif self.active:
            self._refusals.append(f"{lock._name}")
        return taken

    def end(self, lock: NamedLock) -> None:
        """Free what a ``with`` block of *lock* in this thread has taken."""
        mine = (lock, threading.get_ident())
        taking = self._held.pop(mine, None)
        if taking is None:
            self._end_other(mine)
        else:
            self._free(lock._key, taking)

    def _end_other(self, mine: Mine) -> None:
        key, me = key_of(mine), mine[1]
        ended = self.takings.end(mine)
        acquired = self._held.pop((key, me), None) if isinstance(ended, bool) else None
        if acquired is not None:  # since the block's own was cleared in it
            self._free(key, acquired)
        elif isinstance(ended, tuple):
            self._free(key, ended)
        elif not ended:
            self._end_unknown(key)

    def clear(self, key: str) -> Any:
        """Free what this process has taken; what it has not, whatever it is."""
        found = self.takings.clear(key, threading.get_ident())
        if found is not None:
            return self._free(key, found)
        if self.active:
            try:
                self._cleared.claim(key)
            except Exception as exc:
                self._failed("while it recorded that a lock was cleared", exc)
        return self.huey.delete(key)

    def _free(self, key: str, taking: Taking) -> bool:
        raw, store, _, _ = taking
        try:
            freed = delete_taken(store, key, raw)
        except BaseException:
            if raw != BARE:  # else nobody could tell later whose it is
                self.takings.unfreed.append((key, taking))
            raise
        if not freed and self.takings.untold(taking):
            self._tell(key, taking)
        return freed

    def look(self) -> None:
        """See that what this process holds is still its own."""
        live = self.takings.live()
        for store in {id(store): store for _, store, *_ in live.values()}.values():
            here = [mine for mine, each in live.items() if each[1] is store]
            for mine, raw in zip(here, store.get([key_of(each) for each in here]), strict=True):
                taking = live[mine]
                gone = raw != taking[0] and self._held.get(mine) is taking
                if gone and self.takings.is_lost(mine, taking):
                    self._tell(key_of(mine), taking)

    def _tell(self, key: str, taking: Taking) -> None:
        with suppress(Exception):  # if the list cannot be read, report the lock as lost
            if self._cleared.has(taking[0]):
                return
        # The kit that is there counts it, not one that has gone since.
        told = self.takings.desk() or self
        told._tell_lost(self.name(key))

    def name(self, key: str) -> str:
        """That of the lock."""
        return key[len(self._prefix) :]

    def _end_unknown(self, key: str) -> None:
        """Taken before the kit came, and so without a name; or named, and then not this one."""
        if names_nobody(self.huey, key):
            self.huey.delete(key)

    def _begin(self, storage: Any) -> None:
        # Huey takes another storage when it is switched to immediate mode.
        self._store, self._storage = open_store(self.huey), storage
        if is_shared(storage):
            self.takings.storage = storage
        self._taken()
