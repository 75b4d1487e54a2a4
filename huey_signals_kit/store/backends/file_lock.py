"""The lock of a ``FileStorage``, as a thread can take it that is not the worker's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def file_lock(storage: Any) -> Iterator[None]:
    """Hold the lock that all processes share, by a descriptor of its own.

    Before Huey 3.4 its FileLock has one descriptor for all threads of a process, and is never
    free again once two of them were at it.
    """
    path = getattr(storage.lock, "filename", None)
    if path is None:
        with storage.lock:
            yield
        return
    import fcntl

    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
