"""Log failures that must not stop a task: once with a traceback, then at most every minute.

A handler that always fails would otherwise write a traceback for every task.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Protocol

from .._checks import short
from .fork import reset_in_child

_logger = logging.getLogger("huey_signals_kit")

# By name: redis-py, psycopg and others have classes of their own, which may not be installed.
_CONNECTION_ERRORS = {"ConnectionError", "TimeoutError"}


def is_unreachable(exc: BaseException) -> bool:
    """Return whether `exc` means that the storage is unreachable, so that Huey's calls fail too."""
    names = {cls.__name__ for cls in type(exc).__mro__}
    return isinstance(exc, OSError) or not names.isdisjoint(_CONNECTION_ERRORS)


def log_error(
    text: str, *args: object, exc_info: BaseException | None = None, **fields: object
) -> None:
    """Log an error with `fields` as ``huey_<name>``; a broken log does not break a task."""
    log(logging.ERROR, text, *args, exc_info=exc_info, **fields)


def log(
    level: int, text: str, *args: object, exc_info: BaseException | None = None, **fields: object
) -> None:
    """Log a message with `fields` as ``huey_<name>``; a broken log does not break a task."""
    extra = {f"huey_{name}": value for name, value in fields.items()}
    with suppress(Exception):
        _logger.log(level, text, *args, exc_info=exc_info, extra=extra)


class ErrorReporter(Protocol):
    """A log for errors of the kit's own code, with a rate limit."""

    def kit_failed(self, where: str, exc: Exception, /) -> object:
        """Log that the kit's own code raised `exc`, and `where`, such as ``"in put_result"``."""


def is_exit(exc: BaseException) -> bool:
    """Return whether `exc` ends a thread, a greenlet or the process, and so must not be caught.

    Any other exception of a handler is logged as a failure of that handler, including
    `asyncio.CancelledError` and `gevent.Timeout`, which do not inherit from `Exception`.
    """
    return not isinstance(exc, Exception) and (
        isinstance(exc, (KeyboardInterrupt, SystemExit))
        or any(cls.__name__ == "GreenletExit" for cls in type(exc).__mro__)
    )


class _Failures:
    """The failures of one key.

    There is no lock, because a Unix signal handler may interrupt a report and fail too. Instead,
    the caller that pops the item of `turn` may log.
    """

    def __init__(self) -> None:
        self.count = itertools.count(1)
        self.logged = 0
        """The value of `count` at the last log line."""
        self.turn: list[float | None] = [None]
        """The time of the last log line, None before the first; empty while one is being logged."""


class RateLimitedErrors:
    """A log for failures of the handlers, subscribers and jobs of one kit.

    The first failure of each is logged with its traceback, later failures as a count.

    Args:
        interval: Seconds between two log lines about the same failure, at least.
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, interval: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval
        self._clock = clock
        self._failures: dict[Hashable, _Failures] = {}
        reset_in_child(self)

    def _after_fork(self) -> None:
        for failures in self._failures.values():
            if not failures.turn:  # another thread was logging
                failures.turn.append(None)

    def report(self, name: str, doing: str, exc: BaseException, key: Hashable = None) -> None:
        """Log a failure, unless a failure of the same key was logged within the interval.

        Args:
            name: What failed, for the log.
            doing: When it failed, for the log, such as ``"on a signal"``.
            exc: The exception.
            key: Distinguishes two things of the same name; by default the name.
        """
        failures = self._failures.setdefault(name if key is None else key, _Failures())
        count = next(failures.count)
        try:
            last = failures.turn.pop()
        except IndexError:
            return
        now = self._clock()
        due = last is None or now - last >= self._interval
        more, failures.logged = count - failures.logged, count if due else failures.logged
        failures.turn.append(now if due else last)
        if last is None:
            text = "%s failed %s; no task is affected. Its next failures are counted, not shown."
            log_error(text, name, doing, exc_info=exc, failed=name, failures=more)
        elif due:
            text = "%s failed %d more times, last: %s"
            log_error(text, name, more, short(exc), failed=name, failures=more)
