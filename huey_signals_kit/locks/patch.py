"""Has the locks of one Huey say who holds them, and be freed only by who holds them.

Locks are met where Huey makes them, and those that are older than the kit when they are first
taken. It is the lock itself that becomes another, so that nothing stands in the way of tasks
without locks.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from huey import api
from huey.api import Huey, TaskLock

from ..huey_internals.facts import is_own_method
from ..huey_internals.patch import Placed
from ..store import Keys
from .held import key_of
from .holder import HolderText
from .manager import HUEYS_VALUE, EndsAtDesk, LockDesk, Told
from .values import delete_taken

_ENTER = TaskLock.__enter__.__code__


class NamedLocks:
    """Has each lock of one Huey be taken at a `LockDesk`."""

    def __init__(self, huey: Any, told: Told) -> None:
        self._huey = huey
        self._failed = told.failed
        self._text = HolderText()
        self._desk = LockDesk(huey, self._text, told)
        self._takings = self._desk.takings
        self._placed = Placed(huey)

    def install(self) -> None:
        """Put both there, unless locks are not Huey's own here: then nothing is named."""
        if _are_hueys_own(self._huey):
            self._desk.active = True
            self._takings.desk = weakref.ref(self._desk)
            self._placed.put("lock_task", self._lock_task)
            self._placed.put("put_if_empty", self._put_if_empty)

    def uninstall(self) -> None:
        """Take locks as Huey does; those that are held are freed as they were taken."""
        if self._takings.desk() is self._desk:
            self._takings.forget_desk()
        self._desk.active = False
        self._placed.remove()

    def unclaimed(self) -> bool:
        """Whether this process holds locks in its name, while no kit is there to say so."""
        return self._takings.unclaimed()

    def beats(self) -> None:
        """This process has written a heartbeat."""
        self._text.says(beats=True)

    def _each(self, do: Callable[[], object]) -> None:
        # A storage that is away must keep no kit from going, and no heartbeat from being written.
        try:
            do()
        except Exception as exc:
            self._failed("on the locks that are held", exc)

    def held(self) -> tuple[str, ...]:
        """The names of the locks that this process holds."""
        return tuple(sorted({self._desk.name(key_of(mine)) for mine in self._takings.live()}))

    def check(self) -> None:
        """See that what this process holds is still its own, and free what could not be freed."""
        self._each(self._free_at_last)
        self._each(self._desk.look)

    def _free_at_last(self) -> None:
        unfreed = self._takings.unfreed
        for each in unfreed.copy():
            key, (raw, store, *_) = each
            delete_taken(store, key, raw)
            with suppress(ValueError):  # another kit, or another thread, has done it as well
                unfreed.remove(each)

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
            if data == HUEYS_VALUE and desk.active and str(key).startswith(prefix):
                frame = sys._getframe(1)
                lock: Any = frame.f_locals.get("self")
                if getattr(lock, "_huey", None) is desk.huey and desk.adopt(lock):
                    lock._huey = EndsAtDesk(desk.huey, lock)
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
