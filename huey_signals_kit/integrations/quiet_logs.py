"""One log line a minute for each lock or task, in place of Huey's line for each skipped task."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from huey.exceptions import TaskLockedException

from .._lock_errors import lock_name
from ..huey_internals.django_tasks import LOG_FUNCTION as DJANGO_LOG_FUNCTION
from ..huey_internals.django_tasks import LOGGERS as DJANGO_LOGGERS
from ..huey_internals.django_tasks import task_name
from ..huey_internals.facts import LOCKED_MESSAGE, REVOKED_MESSAGE
from ..huey_internals.stack import current_execution, task_being_logged
from ..runtime.fork import reset_in_child
from ..runtime.log import ErrorReporter, log
from ..runtime.scheduler import JobGroup, scheduler

INTERVAL = 60.0
"""Seconds between two summaries."""
_MAX_NAMED = 5
"""Maximum number of tasks in the summary of a lock."""

Line = tuple["str | None", str]
"""The label of the lock, or None for a revoked task, and the task's name."""


class QuietLogs:
    """A filter on Huey's logger that removes the lines of one Huey and logs summaries.

    All Hueys share one logger. A summary is a warning, because Huey's consumer shows no lower level
    of other loggers. If the kit's own code raises, the line passes.

    About a locked task that is one of Django's own, Django logs an error with a traceback before
    Huey logs its line. That error is removed, too, and only Huey's line is counted.

    Args:
        huey: The Huey.
        labels: The label of each lock's name; the number of labels is bounded.
        jobs: The jobs of the kit.
        reporter: Logs failures.
    """

    def __init__(
        self,
        huey: Any,
        labels: Mapping[str, str],
        jobs: JobGroup,
        reporter: ErrorReporter,
    ) -> None:
        self._huey = huey
        self._labels = labels
        self._jobs = jobs
        self._failed = reporter.kit_failed
        self._loggers = [logging.getLogger(name) for name in ("huey", *DJANGO_LOGGERS)]
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()  # reentrant: a Unix signal handler may interrupt its holder
        self._removed: Counter[Line] = Counter()
        self._since = time.monotonic()

    def install(self) -> None:
        """Begin to remove lines."""
        self._since = time.monotonic()
        for logger in self._loggers:
            logger.addFilter(self)
        self._jobs.every(INTERVAL, self.summarize, "quiet_logs")

    def uninstall(self) -> None:
        """Let every line pass; the last summary is logged when the jobs are flushed."""
        for logger in self._loggers:
            logger.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record passes; `logging` calls this for every line of every Huey."""
        try:
            if record.name in DJANGO_LOGGERS:
                return not self._is_own_skip(record)
            if record.msg not in (LOCKED_MESSAGE, REVOKED_MESSAGE):
                return True
            return not self._count_if_own(record)
        except Exception as exc:
            self._failed("in a filter of Huey's log", exc)
            return True

    def _count_if_own(self, record: logging.LogRecord) -> bool:
        """Count a line if this Huey wrote it; return whether it did."""
        huey, task = task_being_logged()
        if huey is not self._huey:
            return False
        line = (self._lock_in(record), task_name(task))
        with self._lock:
            self._removed[line] += 1
        if scheduler.thread is None:
            scheduler.start()
        return True

    def _is_own_skip(self, record: logging.LogRecord) -> bool:
        """Return whether Django logs that a task of this Huey was locked, as Huey will, too."""
        exception = record.exc_info[1] if record.exc_info else None
        if record.funcName != DJANGO_LOG_FUNCTION or not isinstance(exception, TaskLockedException):
            return False
        execution = current_execution()
        return execution is not None and execution.huey is self._huey

    def _lock_in(self, record: logging.LogRecord) -> str | None:
        if record.msg == REVOKED_MESSAGE:
            return None
        exception: Any = record.args[1] if isinstance(record.args, tuple) else None
        return self._labels[lock_name(exception) or ""]

    def summarize(self) -> None:
        """Log what was removed since the last summary."""
        with self._lock:
            now = time.monotonic()
            removed, seconds = self._removed, round(now - self._since)
            self._removed, self._since = Counter(), now
        by_lock: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for (lock, task), count in sorted(removed.items(), key=str):
            if lock is None:
                self._log_revoked(task, count, seconds)
            else:
                by_lock[lock][task] += count
        for lock, tasks in by_lock.items():
            self._log_locked(lock, tasks, seconds)

    def _log_revoked(self, task: str, count: int, seconds: int) -> None:
        text = "Task %s: %d revoked and not executed in the last %d s"
        fields: dict[str, Any] = {"task": task, "revoked": count, "seconds": seconds}
        log(logging.WARNING, text, task, count, seconds, queue=str(self._huey.name), **fields)

    def _log_locked(self, lock: str, tasks: Counter[str], seconds: int) -> None:
        count = sum(tasks.values())
        name = f"Lock {lock!r}" if lock else "A lock without a name"
        text = "%s: %d task%s skipped in the last %d s (%s)"
        log(
            logging.WARNING,
            text,
            name,
            count,
            "" if count == 1 else "s",
            seconds,
            _tasks_text(tasks),
            queue=str(self._huey.name),
            lock=lock,
            skips=count,
            seconds=seconds,
            tasks=dict(tasks),
        )


def _tasks_text(tasks: Counter[str]) -> str:
    named = [f"{task} {count}" for task, count in tasks.most_common(_MAX_NAMED)]
    more = len(tasks) - len(named)
    return ", ".join([*named, f"{more} other tasks"] if more else named)
