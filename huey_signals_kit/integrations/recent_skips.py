"""Recent lock skips by task, within bounds."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable

from ..event import Skip
from ..runtime.fork import reset_in_child

MAX_SKIPS = 20
"""Number of skips of one task that are kept."""
MAX_AGE = 15 * 60
"""Seconds after which a skip is dropped."""
MAX_TASKS = 500
"""Number of tasks whose skips are kept."""


class Skips:
    """The recent skips of one Huey's tasks in this process; a forked child starts with none."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._by_task: dict[str, deque[Skip]] = {}
        # Reentrant: a finalizer may run on the thread that holds the lock, and report to Sentry.
        self._lock = threading.RLock()

    def remember(self, task_name: str, skip: Skip) -> None:
        """Keep a skip of a task; only the last `MAX_SKIPS` are kept."""
        skips = self._by_task.get(task_name)
        if skips is None:
            with self._lock:
                skips = self._add_task(task_name)
        skips.append(skip)

    def recent(self, task_name: str) -> list[Skip]:
        """Return the skips of a task in the last `MAX_AGE` seconds, oldest first."""
        oldest = self._clock() - MAX_AGE
        with self._lock:
            # A copy in one step: another thread may add a skip at any moment.
            skips = list(self._by_task.get(task_name, ()))
        return sorted(skip for skip in skips if skip[0] >= oldest)

    def _last_time(self, task_name: str) -> float:
        skips = self._by_task[task_name]
        return skips[-1][0] if skips else math.inf  # another thread is about to add the first

    def _add_task(self, task_name: str) -> deque[Skip]:
        """Add a task; if there are `MAX_TASKS`, drop the task whose last skip is the oldest."""
        if len(self._by_task) >= MAX_TASKS:
            del self._by_task[min(self._by_task, key=self._last_time)]
        return self._by_task.setdefault(task_name, deque(maxlen=MAX_SKIPS))
