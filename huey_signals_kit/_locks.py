"""Has the locks of one Huey say who holds them, and frees only what is held.

Huey writes ``'1'`` as a lock's value, and deletes whatever is there when it frees one. A lock
that was taken by way of a kit names its holder instead, and its end frees that taking and no
other: after its ``ttl`` ran out, or after it was released as that of a dead process, somebody
else may have it by then.

Locks are met where Huey makes them, and those that are older than the kit when they are first
taken. It is the lock itself that becomes another, so that nothing stands in the way of tasks
without locks.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, NamedTuple

from huey import api
from huey.api import Huey, Task, TaskLock
from huey.constants import EmptyData
from huey.exceptions import TaskLockedException

from ._huey_facts import is_own_method
from ._placed import Placed
from ._tick import tick
from .ledger import READING, HolderText, Taking, hands_of, nothing, takings_of, try_holder
from .store import Keys, Reader, open_store

_HUEYS_VALUE = "1"
_ENTER = TaskLock.__enter__.__code__
_FRAMES = 200
"""How far up the stack the task is looked for that takes a lock."""


class Told(NamedTuple):
    """Who is told of what."""

    taken: Callable[[], object]
    """Called before a lock is taken while the tick does not run."""
    lost: Callable[[str], object]
    """With the name of a lock that is not this process's any more, although it has not freed it."""
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
        self._desk.end(self._key)

    def clear(self) -> Any:
        """As Huey's; in the process that holds it, it frees only what that has taken."""
        return self._desk.clear(self._key)

    release = clear


class _EndsAtDesk:
    """Stands in for the Huey of a lock that became another while it was being taken.

    A ``with`` statement looks for ``__exit__`` first: it will be the one of Huey's lock.
    """

    def __init__(self, huey: Any, desk: LockDesk) -> None:
        self._huey = huey
        self.delete = desk.end

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
        self._prefix = Keys(huey).lock_prefix
        self._notes = hands_of(huey).notes
        self.takings = takings_of(huey)
        self._held = self.takings.held
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
        note, storage = self._notes.get(me), huey.storage
        made = nothing if note is None else note.made
        task = made()
        if task is None or task is READING or not huey._tasks_in_flight:
            task = _task_in(sys._getframe(1))
        try:
            raw = self._text.write(task, huey.serializer)
            if storage is not self._storage or tick.thread is None:
                self._begin(storage)
        except Exception as exc:  # nothing of ours may cost anybody a lock
            return self._take_unnamed(key, ttl, exc)
        taken = (
            storage.put_if_empty(key, raw) if ttl is None else storage.put_if_empty(key, raw, ttl)
        )
        if taken:
            mine, taking = (key, me), (raw, self._store, block, ttl is not None)
            if self._held.setdefault(mine, taking) is not taking:
                self._take_again(mine, taking)
            if not self.active:  # by now
                with suppress(Exception):
                    self.unname(mine, taking)
        return taken

    def _take_again(self, mine: tuple[str, int], taking: Taking) -> None:
        before = self.takings.replace(mine, taking)
        if before is None or not self.takings.was_lost(before):
            return
        if before[2] or not before[3]:  # else its ttl was to run out
            self._tell(mine[0])

    def _take_elsewhere(self, lock: NamedLock, key: str, ttl: Any, block: bool) -> Any:
        other = self.takings.desk()  # of a kit that has taken the place of this one
        if other is not None:
            lock._desk = other
            return other.take(lock, key, ttl, block)
        return self._take_unnamed(key, ttl)

    def _take_unnamed(self, key: str, ttl: Any, why: Exception | None = None) -> Any:
        if why is not None:
            self._failed("while it named the holder of a lock", why)
        rest = () if ttl is None else (ttl,)
        return self.huey.put_if_empty(key, _HUEYS_VALUE, *rest)

    def end(self, key: str) -> None:
        """Free what a ``with`` block of this thread has taken."""
        taking = self._held.pop((key, threading.get_ident()), None)
        if taking is not None:
            if not taking[2]:  # the block's own was cleared in it, and this one acquired since
                self.takings.end(key, threading.get_ident())
            self._free(key, taking)
            return
        ended = self.takings.end(key, threading.get_ident())
        if isinstance(ended, tuple):
            self._free(key, ended)
        elif not ended:
            self._end_unknown(key)

    def clear(self, key: str) -> Any:
        """Free what this process has taken; what it has not, whatever it is."""
        found = self.takings.clear(key, threading.get_ident())
        return self.huey.delete(key) if found is None else self._free(key, found)

    def _free(self, key: str, taking: Taking) -> bool:
        raw, store, _, _ = taking
        try:
            freed = store.delete_same(key, raw)
            if not freed:
                freed = self._free_renamed(key, raw, store)
        except BaseException:
            self.takings.unfreed.append((key, taking))
            raise
        if not freed and self.takings.was_lost(taking):
            self._tell(key)
        return freed

    def _free_renamed(self, key: str, raw: bytes, store: Any) -> bool:
        # A kit may have come or gone just as its block ended, or both.
        with self.takings.lock:
            mine = key, threading.get_ident()
            now = self.takings.renamed.pop((key, raw), raw)
            if self._held.get(mine, (None,))[0] == now:
                self._held.pop(mine, None)
            return bool(store.delete_same(key, now))

    def look(self) -> None:
        """See that what this process holds is still its own."""
        live = self.takings.live()
        for store in {id(store): store for _, store, *_ in live.values()}.values():
            here = [mine for mine, each in live.items() if each[1] is store]
            for mine, raw in zip(here, store.get([key for key, _ in here]), strict=True):
                taking = live[mine]
                gone = raw != taking[0] and self._held.get(mine) is taking
                gone = gone and (mine[0], taking[0]) not in self.takings.renamed
                if gone and self.takings.is_lost(mine, taking):
                    self._tell(mine[0])

    def unname(self, mine: tuple[str, int], taking: Taking) -> None:
        """Have it name nobody: nobody will say any more that this process lives."""
        plain = self.huey.serializer.serialize(_HUEYS_VALUE)
        if self._rename(mine, taking, (plain, *taking[1:])):
            self.takings.named[mine] = taking

    def name_again(self) -> None:
        """Have those name their holder that did before."""
        while self.takings.named:
            mine, taking = self.takings.named.popitem()
            now = self._held.get(mine)
            if now is not None:
                self._rename(mine, now, taking)

    def _rename(self, mine: tuple[str, int], before: Taking, after: Taking) -> bool:
        # Its block may end at any moment: it then waits for this, and frees what is there by then.
        (key, _), renamed = mine, self.takings.renamed
        with self.takings.lock:
            if self._held.get(mine) is not before:
                return False
            if not before[1].replace_same(key, before[0], after[0]):
                return False
            renamed[key, before[0]] = after[0]
            renamed.pop((key, after[0]), None)
            self._held[mine] = after
            return True

    def _tell(self, key: str) -> None:
        self._tell_lost(self.name(key))

    def name(self, key: str) -> str:
        """That of the lock."""
        return key[len(self._prefix) :]

    def _end_unknown(self, key: str) -> None:
        """Taken before the kit came, and so without a name; or named, and then not this one."""
        if self.takings.desk() is not None:
            raw = self.huey.storage.peek_data(key)
            if raw is EmptyData or self._names_somebody(raw):
                return
        self.huey.delete(key)

    def _names_somebody(self, raw: Any) -> bool:
        try:
            return try_holder(Reader(self.huey).value(raw)) is not None
        except Exception:  # Unreadable, and whatever a storage gives for a value
            return False

    def _begin(self, storage: Any) -> None:
        # Huey takes another storage when it is switched to immediate mode.
        self._store, self._storage = open_store(self.huey), storage
        self._taken()


class NamedLocks:
    """Has each lock of one Huey be taken at a `LockDesk`."""

    def __init__(self, huey: Any, text: HolderText, told: Told) -> None:
        self._huey = huey
        self._failed = told.failed
        self._desk = LockDesk(huey, text, told)
        self._placed = Placed(huey)

    def install(self) -> None:
        """Put both there, unless locks are not Huey's own here: then nothing is named."""
        if _are_hueys_own(self._huey):
            self._desk.active = True
            self._desk.takings.desk = weakref.ref(self._desk)
            self._placed.put("lock_task", self._lock_task)
            self._placed.put("put_if_empty", self._put_if_empty)
            self._each(self._desk.name_again)

    def uninstall(self) -> None:
        """Take locks as Huey does; those that are held are freed as they were taken."""
        self._desk.active = False
        takings = self._desk.takings
        if takings.desk() is self._desk:
            takings.forget_desk()
            for mine, taking in takings.live().items():
                self._each(partial(self._desk.unname, mine, taking))
        self._placed.remove()

    def _each(self, do: Callable[[], object]) -> None:
        # A storage that is away must not keep a kit from coming or going.
        try:
            do()
        except Exception as exc:
            self._failed("on the locks that are held", exc)

    def held(self) -> tuple[str, ...]:
        """The names of the locks that this process holds."""
        return tuple(sorted({self._desk.name(key) for key, _ in self._desk.takings.live()}))

    def check(self) -> None:
        """See that what this process holds is still its own, and free what could not be freed."""
        self._each(self._free_at_last)
        self._each(self._desk.look)

    def _free_at_last(self) -> None:
        unfreed = self._desk.takings.unfreed
        while unfreed:
            key, (raw, store, *_) = unfreed[0]
            store.delete_same(key, raw)
            del unfreed[0]

    def _lock_task(self, found: Callable[..., Any]) -> Callable[..., Any]:
        desk = self._desk

        def lock_task(*args: Any, **options: Any) -> Any:
            lock = found(*args, **options)
            if desk.active:
                desk.adopt(lock)
            return lock

        return lock_task

    def _put_if_empty(self, found: Callable[..., Any]) -> Callable[..., Any]:
        desk, prefix = self._desk, Keys(self._huey).lock_prefix

        def put_if_empty(key: Any, data: Any, *rest: Any, **options: Any) -> Any:
            if data == _HUEYS_VALUE and desk.active and str(key).startswith(prefix):
                frame = sys._getframe(1)
                lock: Any = frame.f_locals.get("self")
                if getattr(lock, "_huey", None) is desk.huey and desk.adopt(lock):
                    lock._huey = _EndsAtDesk(desk.huey, desk)
                    return desk.take(lock, key, rest[0] if rest else None, _is_block(frame))
            return found(key, data, *rest, **options)

        return put_if_empty


def _are_hueys_own(huey: Any) -> bool:
    for name in ("put_if_empty", "delete"):
        found = getattr(huey, name)
        if not is_own_method(huey, name, found) or found.__func__ is not getattr(Huey, name):
            return False
    ways = ("__enter__", "__exit__", "acquire", "clear")
    found = [getattr(TaskLock, name) for name in ways if hasattr(TaskLock, name)]
    return all(getattr(each, "__globals__", None) is vars(api) for each in found)


def _is_block(frame: FrameType) -> bool:
    """Whether a ``with`` block takes the lock, seen from Huey's method that asks for it."""
    return _ENTER in (frame.f_code, frame.f_back and frame.f_back.f_code)


def _task_in(frame: FrameType) -> Any:
    """The task that *frame* runs in, or None."""
    each: FrameType | None = frame
    for _ in range(_FRAMES):
        if each is None:
            return None
        if each.f_code.co_name == "execute":
            found = each.f_locals.get("self")
            if isinstance(found, Task):
                return found
        each = each.f_back
    return None
