"""Run handlers on threads of their own, behind a bounded queue.

`queue.Queue` and `concurrent.futures` cannot be used: both hold a lock that is not reentrant while
an item is added. So a handler of an operating system signal that adds one could deadlock, and a
late patch by gevent would leave that lock unpatched.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from .fork import reset_in_child
from .log import log_error
from .scheduler import DRAIN_SECONDS, scheduler
from .threads import forwarding_interrupts, start_thread

CAPACITY = 1000
"""Number of events that wait for one handler, at most; then the oldest is dropped."""

IDLE_SECONDS = 10.0
"""Seconds without an event after which the thread ends; the next event starts another."""

_POLL_SECONDS = 0.01

Item = TypeVar("Item")


class Background(Generic[Item]):
    """A queue whose items are handled on a daemon thread, which starts with the first item.

    `submit` holds no lock, and each of its steps is atomic. So a Unix signal handler may interrupt
    `submit` and call it again, and gevent may patch threads at any moment. Whether a thread may be
    started is one item in a list: the caller that pops the item starts the thread.

    Args:
        name: The name of the thread, for logs.
        handle: Called with each item; must not raise.
        on_lost: Called with the items that are never handled: the oldest when there are more than
            `CAPACITY`, and what is left when the process ends. Must not raise.
    """

    def __init__(
        self, name: str, handle: Callable[[Item], object], on_lost: Callable[[list[Item]], object]
    ) -> None:
        self._name = name
        self._handle = handle
        self._on_lost = on_lost
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._waiting: deque[Item] = deque()
        self._current: tuple[Item, ...] = ()
        """The item that is being handled."""
        self._may_start = [True]
        """Empty while a thread runs; the caller that pops the item starts the next thread."""
        self._wake: Any = None
        """A lock that the thread waits for; released when there are items to handle."""
        self._thread: threading.Thread | None = None

    def submit(self, item: Item) -> None:
        """Queue `item`; return immediately."""
        waiting = self._waiting
        waiting.append(item)
        if len(waiting) > CAPACITY:
            self._on_lost(_pop_oldest(waiting, len(waiting) - CAPACITY))
        if self._may_start:
            self._start()
        elif self._wake is not None and self._wake.locked():
            with suppress(RuntimeError):  # another thread has released it
                self._wake.release()

    def _start(self) -> None:
        try:
            self._may_start.pop()
        except IndexError:  # another caller is starting a thread, which will find the item
            return
        _started.add(self)
        scheduler.on_exit(_flush_all)
        # A new lock for each thread: gevent may have patched `threading` since the last start.
        self._wake = wake = threading.Lock()
        wake.acquire()
        work, name = forwarding_interrupts(self._work), self._name
        thread = threading.Thread(target=work, args=(wake,), name=name, daemon=True)
        self._thread = thread
        try:
            start_thread(thread)
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        self._current = ()
        self._thread = None
        self._may_start.append(True)

    def _work(self, wake: Any) -> None:
        try:
            while self._next(wake):
                self._handle(self._current[0])
        finally:  # also by SystemExit
            self._end()
            if self._waiting:
                self._start()

    def _next(self, wake: Any) -> bool:
        """Wait for an item and make it the current one; return False after `IDLE_SECONDS`."""
        waiting = self._waiting
        while True:
            with suppress(IndexError):
                self._current = (waiting[0],)  # `flush` must see the item at every moment
                self._current = (waiting.popleft(),)
                return True
            self._current = ()
            if not wake.acquire(timeout=IDLE_SECONDS) and not waiting:
                return False

    def flush(self, deadline: float) -> None:
        """Wait until every item is handled or `deadline`; drop the others, and log how many.

        Args:
            deadline: When to stop waiting, by the monotonic clock.
        """
        with suppress(RuntimeError):  # no thread can be started
            while (self._waiting or self._current) and time.monotonic() < deadline:
                if self._may_start:
                    self._start()
                time.sleep(_POLL_SECONDS)
        current = self._current
        unhandled = _pop_oldest(self._waiting, len(self._waiting))
        if current and not any(current[0] is item for item in unhandled):
            unhandled.insert(0, current[0])
        if unhandled:
            count = len(unhandled)
            text = "%s did not handle %d events in time; they are lost."
            log_error(text, self._name, count, failed=self._name, events=count)
            self._on_lost(unhandled)


def _pop_oldest(waiting: deque[Item], count: int) -> list[Item]:
    """Remove and return the oldest `count` items, or fewer if there are fewer."""
    oldest: list[Item] = []
    with suppress(IndexError):
        for _ in range(count):
            oldest.append(waiting.popleft())
    return oldest


_started: WeakSet[Background[Any]] = WeakSet()


def _flush_all() -> None:
    deadline = time.monotonic() + DRAIN_SECONDS
    for background in list(_started):
        background.flush(deadline)
