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
from ..huey_internals.patch import MethodPatch
from ..store import Keys
from .held import key_of
from .holder import HolderEncoder
from .manager import HUEYS_VALUE, HueyProxy, LockEvents, LockManager
from .values import delete_acquisition

_ENTER = TaskLock.__enter__.__code__


class LockPatch:
    """Has each lock of one Huey be taken at a `LockManager`."""

    def __init__(self, huey: Any, events: LockEvents) -> None:
        self._huey = huey
        self._on_error = events.on_error
        self._text = HolderEncoder()
        self._manager = LockManager(huey, self._text, events)
        self._held_locks = self._manager.held_locks
        self._patch = MethodPatch(huey)

    def install(self) -> None:
        """Put both there, unless locks are not Huey's own here: then nothing is named."""
        if _are_hueys_own(self._huey):
            self._manager.active = True
            self._held_locks.manager = weakref.ref(self._manager)
            self._patch.wrap("lock_task", self._lock_task)
            self._patch.wrap("put_if_empty", self._put_if_empty)

    def uninstall(self) -> None:
        """Take locks as Huey does; those that are held are freed as they were taken."""
        if self._held_locks.manager() is self._manager:
            self._held_locks.forget_manager()
        self._manager.active = False
        self._patch.remove()

    def needs_heartbeat(self) -> bool:
        """Whether this process holds locks in its name, while no kit is there to say so."""
        return self._held_locks.needs_heartbeat()

    def on_heartbeat_written(self) -> None:
        """This process has written a heartbeat."""
        self._text.set_has_heartbeat(has_heartbeat=True)

    def _each(self, do: Callable[[], object]) -> None:
        # A storage that is away must keep no kit from going, and no heartbeat from being written.
        try:
            do()
        except Exception as exc:
            self._on_error("on the locks that are held", exc)

    def held(self) -> tuple[str, ...]:
        """The names of the locks that this process holds."""
        return tuple(sorted({self._manager.name(key_of(mine)) for mine in self._held_locks.live()}))

    def check(self) -> None:
        """See that what this process holds is still its own, and free what could not be freed."""
        self._each(self._retry_releases)
        self._each(self._manager.detect_lost)

    def _retry_releases(self) -> None:
        failed_releases = self._held_locks.failed_releases
        for each in failed_releases.copy():
            key, (raw, store, *_) = each
            delete_acquisition(store, key, raw)
            with suppress(ValueError):  # another kit, or another thread, has done it as well
                failed_releases.remove(each)

    def _lock_task(self, original: Callable[..., Any]) -> Callable[..., Any]:
        manager = self._manager

        def lock_task(*args: Any, **options: Any) -> Any:
            lock = original(*args, **options)
            if manager.active:
                manager.adopt(lock)
            return lock

        return lock_task

    def _put_if_empty(self, original: Callable[..., Any]) -> Callable[..., Any]:
        manager, prefix = self._manager, Keys(self._huey).lock_prefix

        def put_if_empty(key: Any, data: Any, *rest: Any, **options: Any) -> Any:
            if data == HUEYS_VALUE and manager.active and str(key).startswith(prefix):
                frame = sys._getframe(1)
                lock: Any = frame.f_locals.get("self")
                if getattr(lock, "_huey", None) is manager.huey and manager.adopt(lock):
                    lock._huey = HueyProxy(manager.huey, lock)
                    return manager.acquire(lock, key, rest[0] if rest else None, _is_block(frame))
            return original(key, data, *rest, **options)

        return put_if_empty


def _are_hueys_own(huey: Any) -> bool:
    for name in ("put_if_empty", "delete"):
        original = getattr(huey, name)
        if not is_own_method(huey, name, original) or original.__func__ is not getattr(Huey, name):
            return False
    ways = ("__enter__", "__exit__", "acquire", "clear")
    original = [getattr(TaskLock, name) for name in ways if hasattr(TaskLock, name)]
    return all(getattr(each, "__globals__", None) is vars(api) for each in original)


def _is_block(frame: FrameType) -> bool:
    """Whether a ``with`` block takes the lock, seen from Huey's method that asks for it."""
    return _ENTER in (frame.f_code, frame.f_back and frame.f_back.f_code)
