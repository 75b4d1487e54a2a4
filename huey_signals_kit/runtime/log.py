"""Failures that must not stop a task: logged with a traceback once, then at most each minute."""

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

_AWAY = {"ConnectionError", "TimeoutError"}


def is_away(exc: BaseException) -> bool:
    """Return whether *exc* means that the storage is unreachable, also for Huey's own calls."""
    names = {each.__name__ for each in type(exc).__mro__}
    return isinstance(exc, OSError) or not names.isdisjoint(_AWAY)


def log_error(
    text: str, *args: object, exc_info: BaseException | None = None, **fields: object
) -> None:
    """Log an error; a broken log does not break a task."""
    log(logging.ERROR, text, *args, exc_info=exc_info, **fields)


def log(
    level: int, text: str, *args: object, exc_info: BaseException | None = None, **fields: object
) -> None:
    """Log a message with `fields` as ``huey_<name>``; a broken log does not break a task."""
    extra = {f"huey_{name}": value for name, value in fields.items()}
    with suppress(Exception):
        _logger.log(level, text, *args, exc_info=exc_info, extra=extra)


class ErrorReporter(Protocol):
    """What logs an error of the kit's own code, once in detail and then at most each minute."""

    def kit_failed(self, where: str, exc: Exception, /) -> object:
        """Log that the kit's own code raised `exc`, and `where`, such as ``"in put_result"``."""


def is_exit(exc: BaseException) -> bool:
    """Return whether `exc` ends a thread, a greenlet or the process, and so must not be caught.

    Any other exception of a handler is logged as a failure of that handler, including
    `asyncio.CancelledError` and `gevent.Timeout`, which do not inherit from `Exception`.
    """
    return not isinstance(exc, Exception) and (
        isinstance(exc, (KeyboardInterrupt, SystemExit))
        or any(each.__name__ == "GreenletExit" for each in type(exc).__mro__)
    )


class _Failed:
    """The failures of one key. No lock: a signal handler may interrupt a report and fail too."""

    def __init__(self) -> None:
        self.count = itertools.count(1)
        self.logged = 0
        """The value of *count* at the last log line."""
        self.turn: list[float | None] = [None]
        """The time of the last log line, None before the first; empty while one is being logged."""


class RateLimitedErrors:
    """Logs failures of the handlers, subscribers and jobs of one kit.

    The first failure of each is logged with its traceback, later failures as a count, at most
    every *interval* seconds.
    """

    def __init__(self, interval: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval
        self._clock = clock
        self._failed: dict[Hashable, _Failed] = {}
        reset_in_child(self)

    def _after_fork(self) -> None:
        for failed in self._failed.values():
            if not failed.turn:  # another thread was logging
                failed.turn.append(None)

    def report(self, name: str, doing: str, exc: BaseException, key: Hashable = None) -> None:
        """Log a failure, unless a failure of the same *key* was logged within the interval.

        Args:
            name: What failed, for the log.
            doing: When it failed, for the log, such as ``"on the tick"``.
            exc: The exception.
            key: Distinguishes two things of the same name; by default the name.
        """
        failed = self._failed.setdefault(name if key is None else key, _Failed())
        count = next(failed.count)
        try:
            last = failed.turn.pop()
        except IndexError:
            return
        now = self._clock()
        due = last is None or now - last >= self._interval
        more, failed.logged = count - failed.logged, count if due else failed.logged
        failed.turn.append(now if due else last)
        if last is None:
            text = "%s failed %s; the task goes on. Its next failures are counted, not shown."
            log_error(text, name, doing, exc_info=exc, failed=name, failures=more)
        elif due:
            text = "%s failed %d more times, last: %s"
            log_error(text, name, more, short(exc), failed=name, failures=more)
