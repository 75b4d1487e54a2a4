"""Readings of a storage, which may take long, for somebody who must not wait for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class ReadTimeout(TimeoutError):
    """A reading has not come in time; it goes on, and counts when it comes."""


class BackgroundRead(Generic[T]):
    """Calls *read* on a thread of its own, once at a time, whoever asks and however often.

    One thread for all readings, as some storages keep a connection for each. It is a daemon: a
    storage that hangs keeps no process from ending.
    """

    def __init__(self, read: Callable[[], T], name: str) -> None:
        self._read = read
        self._name = name
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._asked = False
        self._finished = 0
        self._answer: T | None = None
        self._error: Exception | None = None
        self._began = float("-inf")

    def age(self) -> float:
        """Seconds since the last reading began; infinite without one."""
        return time.monotonic() - self._began

    def ask(self) -> None:
        """Begin a reading, unless one is under way."""
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            if not self._asked:
                self._asked = True
                self._began = time.monotonic()
                self._changed.notify_all()

    def wait(self, seconds: float | None) -> bool:
        """Until the reading that is under way has ended; whether it has, after *seconds*."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._asked, seconds)

    def last(self) -> T:
        """The last answer, or what the last reading raised; `ReadTimeout` before the first."""
        with self._changed:
            if self._error is not None:
                raise self._error
            if self._answer is None:
                raise ReadTimeout(f"no {self._name} yet")
            return self._answer

    def forget(self) -> None:
        """As if nothing had been read."""
        with self._changed:
            self._answer, self._error, self._began = None, None, float("-inf")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked)
            answer, error = None, None
            try:
                answer = self._read()
            except Exception as exc:
                error = exc
            with self._changed:
                self._answer, self._error = answer, error
                self._asked = False
                self._changed.notify_all()
