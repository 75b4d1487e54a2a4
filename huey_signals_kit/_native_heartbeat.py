"""Says that a process lives, from a thread of the operating system, where gevent runs the others.

Once gevent has patched threads, the scheduler is a greenlet like all others: a task that computes
without yielding silences it, and the process is taken for dead. So one native thread writes one
value, ``alive:<id>``, and does nothing else. It takes no lock that other code can take, as a lock
of gevent's that two threads use stops all greenlets, and it never logs: a child that is forked
while another thread logs may hang. What fails is reported by the scheduler.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import Any
from uuid import uuid4

from ._fork import reset_in_child
from .ledger import BEAT_SECONDS, AliveWriter, alive_writer

_MOST_ERRORS = 10


class NativeHeartbeat:
    """The native thread of one Huey in this process; there is none where gevent patches nothing."""

    def __init__(self, huey: Any) -> None:
        self._huey = huey
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        # A thread is gone in a forked child. Its connection is kept, as to close it there could
        # end it for the parent.
        if getattr(self, "_thread", None) is not None:
            _abandoned.append(self._thread)
        self._thread: _Thread | None = None
        self._storage: Any = None
        self.errors: deque[str] = deque(maxlen=_MOST_ERRORS)
        """What has failed, for the scheduler to log and remove."""

    def start(self, process_id: str) -> None:
        """Have the thread, if it is needed and there is none for this storage."""
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
        except Exception as exc:  # a worker or a lock is on its way here
            self.errors.append(f"{type(exc).__name__}: {exc}")

    def stop(self, seconds: float = 0) -> None:
        """End the thread, which removes what it has written; wait for that up to `seconds`."""
        thread, self._thread, self._storage = self._thread, None, None
        if thread is None:
            return
        thread.stop()
        deadline = time.monotonic() + seconds
        while not thread.ended and time.monotonic() < deadline:
            time.sleep(0.01)


_abandoned: list[Any] = []


class _Thread:
    """A native thread that writes a value every `BEAT_SECONDS`, until it is stopped."""

    def __init__(self, writer: AliveWriter, errors: deque[str]) -> None:
        self._writer = writer
        self._errors = errors
        self._wake = _original("allocate_lock")()
        self._wake.acquire()
        self.ended = False

    def start(self) -> None:
        """Start it: the operating system ends it with the process."""
        _original("start_new_thread")(self._run, (uuid4().hex.encode(),))

    def stop(self) -> None:
        """Have it end after what it is doing; to be called once."""
        self._wake.release()

    def _run(self, token: bytes) -> None:
        count = 0
        while True:
            count += 1
            self._carefully(self._writer.write, b"%s %d" % (token, count))
            if self._wake.acquire(True, BEAT_SECONDS):
                break
        self._carefully(self._writer.remove)
        self._carefully(self._writer.close)
        self.ended = True

    def _carefully(self, do: Any, *args: Any) -> None:
        try:
            do(*args)
        except BaseException as exc:  # no traceback: it would keep alive what others hold
            self._errors.append(f"{type(exc).__name__}: {exc}")


def _patched_by_gevent() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def _original(name: str) -> Any:
    return sys.modules["gevent.monkey"].get_original("_thread", name)
