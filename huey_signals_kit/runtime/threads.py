"""Threads and locks that survive a late patch by gevent, and calls from Unix signal handlers.

`gevent.monkey.patch_all` may run after the kit was installed. A lock that was made before the patch
blocks the whole native thread, and with it every greenlet, so it must be replaced.
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable
from typing import Any


def start_thread(thread: threading.Thread) -> None:
    """Start a daemon thread, also from a Unix signal handler that interrupts another start.

    `Thread.start` holds a lock of `threading` that is not reentrant, so a Unix signal handler that
    calls it could deadlock with its own thread. Therefore a new native thread calls it.

    Raises:
        RuntimeError: No thread can be started.
    """
    _thread.start_new_thread(_start, (thread,))


def _start(thread: threading.Thread) -> None:
    try:
        thread.start()
    except RuntimeError:  # the interpreter is ending; run on this thread instead
        thread.run()


def forward_interrupt(exc: KeyboardInterrupt) -> bool:
    """Raise a `KeyboardInterrupt` in the main greenlet; return False if that is not needed.

    Under gevent, Python runs a Unix signal handler in whichever greenlet is running, so Ctrl-C may
    interrupt a thread of the kit. The thread would swallow it, and the program would not end.
    Without gevent only the main thread is interrupted.

    Args:
        exc: The exception that the greenlet has caught.
    """
    gevent: Any = sys.modules.get("gevent")
    if gevent is None:
        return False
    hub = gevent.get_hub()
    if gevent.getcurrent() is hub.parent:
        return False
    hub.handle_system_error(KeyboardInterrupt, exc)
    return True


def forwarding_interrupts(target: Callable[..., object]) -> Callable[..., None]:
    """Return the target of a thread that passes Ctrl-C on, see `forward_interrupt`.

    Args:
        target: The function to run; an interrupt ends it.
    """

    def run(*args: Any) -> None:
        try:
            target(*args)
        except KeyboardInterrupt as exc:
            if not forward_interrupt(exc):
                raise

    return run


class RenewedLock:
    """A reentrant lock that is replaced after gevent has patched `threading`.

    For work that may wait, such as calls to a storage. A lock that is not reentrant would block a
    Unix signal handler that interrupts its holder. A lock from before the patch would block every
    greenlet of its thread.
    """

    def __init__(self) -> None:
        self._locks: dict[object, Any] = {}
        """The lock by the value that `threading.Lock` had when it was made."""
        self._held: dict[int, list[Any]] = {}
        """The acquired locks by thread, because the patch may come between enter and exit."""

    def __enter__(self) -> RenewedLock:
        made_by = threading.Lock
        lock = self._locks.get(made_by) or self._locks.setdefault(made_by, threading.RLock())
        lock.acquire()
        self._held.setdefault(threading.get_ident(), []).append(lock)
        return self

    def __exit__(self, *exc_info: object) -> None:
        thread_id = threading.get_ident()
        held = self._held[thread_id]
        lock = held.pop()
        if not held:
            del self._held[thread_id]
        lock.release()
