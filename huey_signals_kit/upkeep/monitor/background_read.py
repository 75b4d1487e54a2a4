"""Reads of a storage on a thread of their own, for callers that may wait only for a short time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

IDLE_SECONDS = 60.0
"""Seconds without a request after which the thread ends; the next request starts another one."""


class ReadTimeout(TimeoutError):
    """No result yet. The read continues, and its result is available once it ends."""


class BackgroundRead(Generic[T]):
    """A function that is called on a background thread, at most one call at a time.

    A storage that does not answer would block a scrape or the screen of ``top`` for minutes. So the
    caller requests a read, waits as long as it can afford, and uses the result of an earlier read
    if the new one is not ready. Reads share one thread, because some storages keep a connection per
    thread. It is a daemon thread, so a read that never ends does not keep the process alive.
    """

    def __init__(self, read: Callable[[], T], name: str) -> None:
        """Create the reader; the thread starts with the first request.

        Args:
            read: Reads the storage; what it raises is raised again by `result`.
            name: What is read, as a noun: the name of the thread, and part of error messages.
        """
        self._read = read
        self._name = name
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_reading = False
        self._result: T | None = None
        self._error: Exception | None = None
        self._started_at = float("-inf")

    def seconds_since_start(self) -> float:
        """Return the seconds since the last read started; infinity before the first."""
        return time.monotonic() - self._started_at

    def request(self) -> None:
        """Start a read, unless one is running."""
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            if not self._is_reading:
                self._is_reading = True
                self._started_at = time.monotonic()
                self._changed.notify_all()

    def wait(self, seconds: float | None) -> bool:
        """Wait up to `seconds` for the running read; return whether none is running."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._is_reading, seconds)

    def result(self) -> T:
        """Return the result of the last read that ended.

        Raises:
            ReadTimeout: No read has ended yet.
            Exception: The last read raised it.
        """
        with self._changed:
            if self._error is not None:
                raise self._error
            if self._result is None:
                raise ReadTimeout(f"no {self._name} yet")
            return self._result

    def reset(self) -> None:
        """Discard the last result or error, so that the next read is due immediately."""
        with self._changed:
            self._result, self._error, self._started_at = None, None, float("-inf")

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._is_reading, IDLE_SECONDS):
                    self._thread = None
                    return
            result, error = None, None
            try:
                result = self._read()
            except Exception as exc:
                error = exc
            with self._changed:
                self._result, self._error = result, error
                self._is_reading = False
                self._changed.notify_all()
