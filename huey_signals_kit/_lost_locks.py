"""Says in the log which locks this process has lost, in one line for all of a minute."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable

from ._failures import say
from ._fork import reset_in_child
from ._tick import Jobs, tick
from .sinks.memory import Counts
from .sinks.vocabulary import LOCKS_LOST

INTERVAL = 60.0
_FIRST_SECONDS = 1.0  # a look finds many at a time
_MOST_NAMED = 5


class LostLocks:
    """The lost locks of one kit's Huey: counted, and by label until the log says so."""

    def __init__(
        self, queue: str, counts: Counts, jobs: Jobs, is_installed: Callable[[], bool]
    ) -> None:
        self._queue = queue
        self._counts = counts
        self._jobs = jobs
        self._is_installed = is_installed
        self._begun = False
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._labels: deque[str] = deque()

    def add(self, name: str) -> None:
        """Count the loss of the lock *name*, and log it within a minute."""
        label = self._counts.lock_labels[name]
        self._counts.add((LOCKS_LOST, label))
        self._labels.append(label)
        if not self._is_installed():  # the jobs have gone with the kit
            self.log()
        elif not self._begun:
            self._begun = True
            self._jobs.every(INTERVAL, self.log, "lost locks", first=_FIRST_SECONDS)
        tick.start()

    def log(self) -> None:
        """Log what was lost since the last time."""
        count = len(self._labels)
        labels = Counter(self._labels.popleft() for _ in range(count))
        if not labels:
            return
        named = [f"{label!r} {times}" for label, times in labels.most_common(_MOST_NAMED)]
        if len(labels) > _MOST_NAMED:
            named.append(f"{len(labels) - _MOST_NAMED} more")
        say(
            logging.WARNING,
            "Lost %d lock%s: %s. Each one's ttl expired, or it was released by another process, "
            "before its holder released it. Another task may have run under it. If it is held "
            "again now, it was left alone.",
            count,
            "" if count == 1 else "s",
            ", ".join(named),
            queue=self._queue,
            lost=count,
            locks=dict(labels),
        )
