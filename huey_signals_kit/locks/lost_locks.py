"""Log the locks that this process has lost, in one line per minute."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable

from ..metrics.counter import MetricCounter
from ..metrics.names import LOCKS_LOST
from ..runtime.fork import reset_in_child
from ..runtime.log import log
from ..runtime.scheduler import JobGroup, scheduler

INTERVAL = 60.0
_FIRST_SECONDS = 1.0  # one check may find many lost locks
_MAX_NAMED = 5


class LostLocks:
    """The lost locks of one kit's Huey, counted and collected for the log.

    A storage that was emptied takes every lock of every process with it, so there may be thousands
    of them: the log line names the few most frequent labels.

    Args:
        queue: The name of the Huey.
        counts: The counter, which has the labels of locks too.
        jobs: The jobs of the kit.
        is_installed: Returns whether the kit is installed.
    """

    def __init__(
        self, queue: str, counts: MetricCounter, jobs: JobGroup, is_installed: Callable[[], bool]
    ) -> None:
        self._queue = queue
        self._counts = counts
        self._jobs = jobs
        self._is_installed = is_installed
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._labels: deque[str] = deque()

    def add(self, name: str) -> None:
        """Count the loss of the lock `name`, and log it within a minute."""
        label = self._counts.lock_labels[name]
        self._counts.add((LOCKS_LOST, label))
        self._labels.append(label)
        if not self._is_installed():  # the jobs were cancelled with the kit
            self.log()
        else:
            self._jobs.every(INTERVAL, self.log, "lost locks", first=_FIRST_SECONDS)
        scheduler.start()

    def log(self) -> None:
        """Log the locks that were lost since the last call."""
        count = len(self._labels)
        labels = Counter(self._labels.popleft() for _ in range(count))
        if not labels:
            return
        named = [f"{label!r} {times}" for label, times in labels.most_common(_MAX_NAMED)]
        if len(labels) > _MAX_NAMED:
            named.append(f"{len(labels) - _MAX_NAMED} more")
        log(
            logging.WARNING,
            "Lost %d lock%s: %s. The ttl of each expired, or another process released it, while "
            "this process still held it. Another task may have run under the same lock. A lock "
            "that is held again now was left alone.",
            count,
            "" if count == 1 else "s",
            ", ".join(named),
            queue=self._queue,
            lost=count,
            locks=dict(labels),
        )
