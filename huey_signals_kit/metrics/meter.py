"""Counts every signal and times every attempt, for sinks; as little as can be on a worker.

Two receivers for each attempt would cost a twentieth of an ordinary task. So an attempt is seen
from outside, around Huey's ``_execute``, and receivers hear only of what goes another way:
an attempt that none of them has marked is complete.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from huey.signals import SIGNAL_COMPLETE, SIGNAL_ERROR, SIGNAL_EXECUTING, SIGNAL_RETRYING

from .._lock_errors import LockErrors
from ..huey_internals.facts import SIGNALS, is_own_method, passed_exception
from ..huey_internals.patch import SignalConnections
from ..runtime.scheduler import JobGroup, scheduler
from .counter import MetricCounter
from .names import SIGNALS as METRIC

_OTHER_ENDS = frozenset(
    {"canceled", "error", "interrupted", "locked", "rate-limited", "retrying", "timeout"}
)
_WORKED = frozenset({SIGNAL_ERROR, SIGNAL_RETRYING, "timeout"})
_SETTLE_SECONDS = 1.0
_SEEN_OUTSIDE = frozenset({SIGNAL_EXECUTING, SIGNAL_COMPLETE})


class Meter:
    """Counts every signal of one Huey in the `MetricCounter` of its kit.

    What is timed is how long a worker was busy with an attempt that completed, failed or timed
    out; one that was locked, canceled or rate-limited did no work. ``executing`` is counted when
    the attempt is over. An attempt that is under way when the kit is replaced counts for neither.
    """

    def __init__(
        self,
        huey: Any,
        receivers: SignalConnections,
        counts: MetricCounter,
        lock_errors: LockErrors,
        jobs: JobGroup,
    ) -> None:
        self._jobs = jobs
        self._huey = huey
        self._connections = receivers
        self._counts = counts
        self._lock_errors = lock_errors
        self._attempts = counts.attempts
        self._attempts_ended: dict[int, bool] = {}
        self._found: Callable[..., Any] | None = None
        self._placed: Callable[..., Any] = self._around(type(huey))
        self._active = True

    def install(self) -> None:
        """Stand around ``_execute`` of this one Huey."""
        found = self._huey._execute
        self._found = None if is_own_method(self._huey, "_execute", found) else found
        # Huey's own is looked up at each call: Sentry, for one, may patch the class later.
        owner = type(self._huey) if self._found is None else _Found(self._found)
        self._placed = self._around(owner)
        self._jobs.every(_SETTLE_SECONDS, self._counts.aggregate, "counts")
        self._huey._execute = self._placed
        self._connections.connect(self._on_attempt_end, _OTHER_ENDS)
        self._connections.connect(self._on_signal, SIGNALS - _OTHER_ENDS - _SEEN_OUTSIDE)

    def uninstall(self) -> None:
        """Count nothing more; a wrapper that other code has put around since stays."""
        self._active = False
        self._attempts_ended[0] = (
            False  # no task's: every attempt takes the way where that is asked
        )
        if self._huey._execute is not self._placed:
            return
        if self._found is None:
            del self._huey._execute
        else:
            self._huey._execute = self._found

    def _on_signal(self, signal: str, task: Any, /, *_: object, **__: object) -> None:
        kind = type(task)
        self._counts.add((METRIC, f"{kind.__module__}.{kind.__name__}", signal))
        self._counts.aggregate_if_large()
        if scheduler.thread is None:
            scheduler.start()

    def _on_attempt_end(
        self, signal: str, task: Any, exception: Any = None, /, *others: object, **named: object
    ) -> None:
        if others or named or not (exception is None or isinstance(exception, BaseException)):
            exception = passed_exception(signal, (exception, *others, *named.values()))
        worked = signal in _WORKED and not self._lock_errors.match(exception)
        self._attempts_ended.setdefault(id(task), worked)
        self._on_signal(signal, task)

    def _around(self, owner: Any) -> Callable[..., Any]:
        huey, marked, clock = self._huey, self._attempts_ended, time.monotonic
        completed, over, nested = self._attempts.completed, self._record_attempt, self._nested

        def execute(task: Any, timestamp: Any = None) -> Any:
            if marked and id(task) in marked:
                return nested(task, timestamp)
            start = clock()
            try:
                value = owner._execute(huey, task, timestamp)
            except BaseException:
                over(task, None)
                raise
            if marked:
                over(task, clock() - start)
            else:
                completed[type(task)].append(clock() - start)
            return value

        return execute

    def _nested(self, task: Any, timestamp: Any) -> Any:
        """In immediate mode Huey runs a task again from inside its attempt before."""
        outer = self._attempts_ended.pop(id(task))
        try:
            return self._placed(task, timestamp)
        finally:
            self._attempts_ended[id(task)] = outer

    def _record_attempt(self, task: Any, seconds: float | None) -> None:
        worked = self._attempts_ended.pop(id(task), None)
        if not self._active:
            return
        if seconds is None or worked is not None:
            self._on_signal(SIGNAL_EXECUTING, task)
            if seconds is not None and worked:
                self._attempts.failed[type(task)].append(seconds)
        else:
            self._attempts.completed[type(task)].append(seconds)


class _Found:
    """What was on the Huey before, called as Huey's class is."""

    def __init__(self, found: Callable[..., Any]) -> None:
        self._found = found

    def _execute(self, huey: Any, task: Any, timestamp: Any) -> Any:
        return self._found(task, timestamp)
