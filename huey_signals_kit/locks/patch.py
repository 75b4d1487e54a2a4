"""Patch one Huey so that its locks name their holder, and only the holder releases them.

A lock is adopted where Huey makes it (``lock_task``). A lock that was made before the kit was
installed is adopted when it is first acquired (``put_if_empty``). It is the lock itself whose class
changes, so nothing is added to the path of a task without locks.
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
    """A patch of one Huey that hands each of its locks to a `LockManager`.

    Args:
        huey: The Huey.
        events: The callbacks of the manager.
    """

    def __init__(self, huey: Any, events: LockEvents) -> None:
        self._huey = huey
        self._on_error = events.on_error
        self._encoder = HolderEncoder()
        self._manager = LockManager(huey, self._encoder, events)
        self._held_locks = self._manager.held_locks
        self._patch = MethodPatch(huey)
        self._is_supported: bool | None = None
        """Whether this Huey has Huey's own locks, found out when the kit is installed."""

    def install(self) -> None:
        """Wrap both methods; do nothing if this Huey's class has locks of its own."""
        if self._is_supported is None:
            self._is_supported = _has_hueys_locks(self._huey)
        if self._is_supported:
            self._manager.active = True
            self._held_locks.manager = weakref.ref(self._manager)
            self._patch.wrap("lock_task", self._lock_task)
            self._patch.wrap("put_if_empty", self._put_if_empty)

    def uninstall(self) -> None:
        """Acquire locks as Huey does; those that are held are still released by their value."""
        if self._held_locks.manager() is self._manager:
            self._held_locks.forget_manager()
        self._manager.active = False
        self._patch.remove()

    def needs_heartbeat(self) -> bool:
        """Return whether stored locks name this process while no kit is installed."""
        return self._held_locks.needs_heartbeat()

    def on_heartbeat_written(self) -> None:
        """Record that this process has written a heartbeat."""
        self._encoder.set_has_heartbeat(has_heartbeat=True)

    def held(self) -> tuple[str, ...]:
        """Return the names of the locks that this process holds."""
        names = {self._manager.name(key_of(held_key)) for held_key in self._held_locks.live()}
        return tuple(sorted(names))

    def check(self) -> None:
        """Retry failed releases, and report locks that this process has lost."""
        for step in (self._retry_releases, self._manager.detect_lost):
            # An unreachable storage must stop neither a heartbeat nor the end of a kit.
            try:
                step()
            except Exception as exc:
                self._on_error("on the locks that are held", exc)

    def _retry_releases(self) -> None:
        failed_releases = self._held_locks.failed_releases
        for failed_release in failed_releases.copy():
            key, (raw, store, _, _) = failed_release
            delete_acquisition(store, key, raw)
            with suppress(ValueError):  # another kit, or another thread, has released it too
                failed_releases.remove(failed_release)

    def _lock_task(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return a ``lock_task`` that adopts each new lock."""
        manager = self._manager

        def lock_task(*args: Any, **options: Any) -> Any:
            lock = original(*args, **options)
            if manager.active:
                manager.adopt(lock)
            return lock

        return lock_task

    def _put_if_empty(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return a ``put_if_empty`` that adopts a lock of Huey's which is being acquired.

        The lock is found as ``self`` in the frame of the caller, because only its key is passed.
        """
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


def _has_hueys_locks(huey: Any) -> bool:
    """Return whether `huey` acquires and releases locks by Huey's own methods."""
    for name in ("put_if_empty", "delete"):
        method = getattr(huey, name)
        if not is_own_method(huey, name, method) or method.__func__ is not getattr(Huey, name):
            return False
    names = ("__enter__", "__exit__", "acquire", "clear")
    methods = [getattr(TaskLock, name) for name in names if hasattr(TaskLock, name)]
    return all(getattr(method, "__globals__", None) is vars(api) for method in methods)


def _is_block(frame: FrameType) -> bool:
    """Return whether a ``with`` block acquires the lock.

    Args:
        frame: The frame of the method of the lock that calls ``put_if_empty``.
    """
    return _ENTER in (frame.f_code, frame.f_back and frame.f_back.f_code)
