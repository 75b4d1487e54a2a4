"""Failures that must not stop a task: logged with a traceback once, then at most each minute."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from ._checks import short
from ._fork import reset_in_child

log = logging.getLogger("huey_signals_kit")


def complain(
    text: str, *args: object, exc_info: BaseException | None = None, **fields: object
) -> None:
    """`say` it as an error."""
    say(logging.ERROR, text, *args, exc_info=exc_info, **fields)


def say(
    level: int, text: str, *args: object, exc_info: BaseException | None = None, **fields: object
) -> None:
    """Log it with *fields* as ``huey_<name>``; a broken log must not break a task."""
    extra = {f"huey_{name}": value for name, value in fields.items()}
    with suppress(Exception):
        log.log(level, text, *args, exc_info=exc_info, extra=extra)


class Failures:
    """Logs the failures of one kit's handlers and subscribers, by name.

    The first of a name comes with its traceback, later ones as a count, at most every
    *interval* seconds.
    """

    def __init__(self, interval: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval
        self._clock = clock
        self._seen: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()
        reset_in_child(self)

    def report(self, name: str, doing: str, exc: BaseException) -> None:
        """Log that *name* failed while *doing*, unless that was said within the interval."""
        now = self._clock()
        with self._lock:
            first = name not in self._seen
            last, missed = self._seen.get(name, (now, 0))
            due = first or now - last >= self._interval
            self._seen[name] = (now, 0) if due else (last, missed + 1)
        count = missed + 1
        if first:
            text = "%s failed %s; the task goes on. Its next failures are counted, not shown."
            complain(text, name, doing, exc_info=exc, failed=name, failures=count)
        elif due:
            text = "%s failed %d more times, last: %s"
            complain(text, name, count, short(exc), failed=name, failures=count)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
