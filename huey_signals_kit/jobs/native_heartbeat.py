"""Write a heartbeat from a native thread, in processes whose threads gevent has patched.

Once gevent has patched threads, the kit's scheduler is a greenlet: a task that computes without
yielding blocks it, and other processes would take this one for dead. So one native thread writes
one value, ``alive:<id>``, and does nothing else. It cannot write the whole record, because that
needs locks, and a gevent lock used by two native threads stops all greenlets. So the thread shares
no lock with other code, and has a connection of its own. It never logs, because a child that is
forked while another thread logs may hang; its errors are logged by the scheduler.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import Any
from uuid import uuid4

from ..ledger import HEARTBEAT_SECONDS, AliveWriter, alive_writer
from ..runtime.fork import reset_in_child

_MAX_ERRORS = 10


class NativeHeartbeat:
    """The native thread of one Huey in this process; exists only after a patch by gevent."""

    def __init__(self, huey: Any) -> None:
        self._huey = huey
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        # A forked child has no such thread. Its connection is kept open: closing it in the child
        # could end it for the parent.
        if getattr(self, "_thread", None) is not None:
            _abandoned.append(self._thread)
        self._thread: _Thread | None = None
        self._storage: Any = None
        self.errors: deque[str] = deque(maxlen=_MAX_ERRORS)
        """Errors of the thread, which the scheduler logs and removes."""

    def start(self, process_id: str) -> None:
        """Start the thread, if gevent has patched threads and none runs for this storage.

        Args:
            process_id: The id of the process in the ledger.
        """
        storage = self._huey.storage
        if storage is self._storage or not _patched_by_gevent():
            return
        self.stop()
        self._storage = storage
        try:
            writer = alive_writer(self._huey, process_id)
            if writer is not None:
                thread = _Thread(writer, self.errors)
                thread.start()
                self._thread = thread
        except Exception as exc:  # the caller starts a worker or acquires a lock
            self.errors.append(f"{type(exc).__name__}: {exc}")

    def stop(self, seconds: float = 0) -> None:
        """End the thread, which then deletes its value.

        Args:
            seconds: Seconds to wait at most until the thread has ended.
        """
        thread, self._thread, self._storage = self._thread, None, None
        if thread is None:
            return
        thread.stop()
        deadline = time.monotonic() + seconds
        while not thread.has_ended and time.monotonic() < deadline:
            time.sleep(0.01)


_abandoned: list[Any] = []
"""Threads of parent processes, kept so that their connections are not closed in this child."""


class _Thread:
    """A native thread that writes a value every `HEARTBEAT_SECONDS`, until it is stopped."""

    def __init__(self, writer: AliveWriter, errors: deque[str]) -> None:
        self._writer = writer
        self._errors = errors
        self._wake = _original("allocate_lock")()
        self._wake.acquire()
        self.has_ended = False

    def start(self) -> None:
        """Start the thread; the operating system ends it with the process."""
        _original("start_new_thread")(self._run, (uuid4().hex.encode(),))

    def stop(self) -> None:
        """Have the thread end after its current write; must be called only once."""
        self._wake.release()

    def _run(self, token: bytes) -> None:
        count = 0
        while True:
            count += 1
            self._call_safely(self._writer.write, b"%s %d" % (token, count))
            if self._wake.acquire(True, HEARTBEAT_SECONDS):
                break
        self._call_safely(self._writer.remove)
        self._call_safely(self._writer.close)
        self.has_ended = True

    def _call_safely(self, function: Any, *args: Any) -> None:
        try:
            function(*args)
        except BaseException as exc:  # as text: a traceback would keep objects of other code alive
            self._errors.append(f"{type(exc).__name__}: {exc}")


def _patched_by_gevent() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def _original(name: str) -> Any:
    return sys.modules["gevent.monkey"].get_original("_thread", name)
