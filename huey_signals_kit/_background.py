"""Handlers on threads of their own, behind a bounded queue."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from ._failures import complain
from ._fork import reset_in_child
from ._tick import DRAIN_SECONDS, tick

CAPACITY = 1000
"""How many events wait for one handler; after that the oldest goes."""

IDLE_SECONDS = 10.0
"""After how long without an event the thread ends; the next event starts another."""

Item = TypeVar("Item")


class Background(Generic[Item]):
    """Passes items to *handle* on a daemon thread, which starts with the first one.

    *lost* is given what was never handled: the oldest when there are `CAPACITY`, and when the
    process ends what was not done by then. *handle* and *lost* do not raise.
    """

    def __init__(
        self, name: str, handle: Callable[[Item], object], lost: Callable[[list[Item]], object]
    ) -> None:
        self._name = name
        self._handle = handle
        self._lost = lost
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[Item] = deque()
        self._current: list[Item] = []
        self._thread: threading.Thread | None = None

    def submit(self, item: Item) -> None:
        """Have *item* handled; returns at once."""
        dropped = []
        with self._changed:
            if len(self._waiting) >= CAPACITY:
                dropped.append(self._waiting.popleft())
            self._waiting.append(item)
            if self._thread is None:
                self._start()
            elif not self._current:
                self._changed.notify_all()
        if dropped:
            self._lost(dropped)

    def _start(self) -> None:
        _started.add(self)
        tick.before_end(_drain_all)
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        thread.start()
        self._thread = thread

    def _work(self) -> None:
        try:
            while self._next():
                self._handle(self._current[0])
        finally:  # by SystemExit, say
            with self._changed:
                if self._thread is threading.current_thread():
                    self._thread = None
                    if self._waiting:
                        self._start()

    def _next(self) -> bool:
        """Wait for an item; False, and no thread any more, when none comes for a while."""
        with self._changed:
            self._current = []
            while not self._waiting:
                self._changed.notify_all()
                if not self._changed.wait(IDLE_SECONDS) and not self._waiting:
                    self._thread = None
                    return False
            self._current = [self._waiting.popleft()]
            return True

    def drain(self, deadline: float) -> None:
        """Wait until all is handled, at most until *deadline* (monotonic); the rest is lost."""
        with self._changed:
            while self._thread and (self._waiting or self._current):
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            unhandled = [*self._current, *self._waiting]
            self._waiting.clear()
        if unhandled:
            count = len(unhandled)
            text = "%s did not get to %d events."
            complain(text, self._name, count, failed=self._name, events=count)
            self._lost(unhandled)


_started: WeakSet[Background[Any]] = WeakSet()


def _drain_all() -> None:
    deadline = time.monotonic() + DRAIN_SECONDS
    for each in list(_started):
        each.drain(deadline)
