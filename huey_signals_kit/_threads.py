"""Threads and locks that a late patch by gevent, and a signal handler, cannot block for good."""

from __future__ import annotations

import _thread
import threading
from typing import Any


def start_thread(thread: threading.Thread) -> None:
    """Start a daemon thread, also from a signal handler that interrupts another thread's start.

    `Thread.start` holds a lock of `threading` that is not reentrant, so that a signal handler
    could wait for its own thread: another thread calls it. `RuntimeError` where there can be
    no thread.
    """
    _thread.start_new_thread(_start, (thread,))


def _start(thread: threading.Thread) -> None:
    try:
        thread.start()
    except RuntimeError:  # the interpreter has begun to end since; this thread is there already
        thread.run()


class RenewedLock:
    """A reentrant lock for work that may wait, as for a storage.

    A plain lock would block a signal handler that interrupts the thread that holds it. One that
    was made before gevent patched threads would block every greenlet of its thread, so after
    that another one takes its place.
    """

    def __init__(self) -> None:
        self._locks: dict[object, Any] = {}
        self._held: dict[int, list[Any]] = {}

    def __enter__(self) -> RenewedLock:
        made_by = threading.Lock
        lock = self._locks.get(made_by) or self._locks.setdefault(made_by, threading.RLock())
        lock.acquire()
        self._held.setdefault(threading.get_ident(), []).append(lock)
        return self

    def __exit__(self, *exc_info: object) -> None:
        me = threading.get_ident()
        held = self._held[me]
        lock = held.pop()
        if not held:
            del self._held[me]
        lock.release()
