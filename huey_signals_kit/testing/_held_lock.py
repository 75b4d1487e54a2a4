"""Hold a lock as another process does."""

from __future__ import annotations

import os
from dataclasses import replace
from types import TracebackType
from typing import Any

from .._checks import check_huey, short
from ..locks.holder import HolderEncoder, parse_holder
from ..locks.values import delete_acquisition
from ..runtime.process_id import ProcessId, process_with_pid, this_process
from ..store import Keys, Reader, open_store


def held_lock(huey: Any, name: str) -> HeldLock:
    """Return a context manager that holds a lock of a Huey as another process does.

    A task that needs the lock is skipped: `lock_task` as a decorator or in a ``with`` block, with
    a ``ttl`` or without. The stored value names another process: a living one of this host, or, if
    none is known, one of another host. So no task, and no method of the kit, treats the lock as its
    own or as stale. ``clear()`` and ``flush_locks()`` release it, as in production. At the end the
    lock is released, unless it was released and acquired again.

    A semaphore of ``lock_task_semaphore`` is kept elsewhere, and only on Redis: to hold it, acquire
    its slots by ``RedisSemaphore(huey, name, value).acquire()``.

    Args:
        huey: The Huey, with a kit or without.
        name: The name of the lock.

    Raises:
        TypeError: `huey` is not a Huey, or `name` is not a string.
        RuntimeError: When the block begins: the lock is held already.
    """
    return HeldLock(huey, name)


class HeldLock:
    """The context manager that `held_lock` returns.

    Args:
        huey: The Huey.
        name: The name of the lock.
    """

    def __init__(self, huey: Any, name: str) -> None:
        self._huey = check_huey(huey, "held_lock()")
        if not isinstance(name, str):
            raise TypeError(
                f"held_lock() takes the name of a lock, got {short(name)}; "
                "write the string that lock_task() gets"
            )
        self.name = name
        self._key = Keys(self._huey).lock_prefix + name
        self._raw = b""
        self._store: Any = None

    def __repr__(self) -> str:
        return f"<HeldLock {self.name!r} of {self._huey.name!r}>"

    def __enter__(self) -> HeldLock:
        if self._store is not None:
            return self  # the fixture `huey_lock` has acquired it
        huey = self._huey
        raw = HolderEncoder(_another_process()).encode(None, huey.serializer)
        store = open_store(huey)
        if not huey.storage.put_if_empty(self._key, raw):
            holder = _describe_holder(huey, store.get([self._key])[0])
            raise RuntimeError(
                f"held_lock() cannot hold the lock {self.name!r} of {huey.name!r}, because it is "
                f"held{holder}. Release it first, for example with "
                f"huey.lock_task({self.name!r}).clear(); if several test processes share the "
                "storage, give each a Huey of its own"
            )
        self._raw, self._store = raw, store
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        store, self._store = self._store, None
        if store is not None:
            delete_acquisition(store, self._key, self._raw)

    @property
    def is_held(self) -> bool:
        """Whether the lock is still held, so that the code under test has not released it."""
        return self._store is not None and self._store.get([self._key]) == [self._raw]


def _another_process() -> ProcessId:
    """Return a living process that is not this one, or one of another host if there is none."""
    parent = process_with_pid(os.getppid())
    own = this_process()
    if parent.pid > 0 and parent.start_time:
        return parent
    return replace(own, host="another-host", pid_namespace="", pid=own.pid + 1)


def _describe_holder(huey: Any, raw: bytes | None) -> str:
    holder = None if raw is None else parse_holder(Reader(huey).value(raw))
    if holder is None:
        return ""
    task = f", by the task {holder.task_name} ({holder.task_id})" if holder.task_name else ""
    return f" by process {holder.process.pid} on {holder.process.host}{task}"
