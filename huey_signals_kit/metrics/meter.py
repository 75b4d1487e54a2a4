"""Count every signal and time every attempt, for sinks, at the least cost for a worker.

The obvious way is to connect receivers for ``executing`` and ``complete``, but Huey calls them for
every task, which costs a twentieth of an ordinary task. So Huey's ``_execute`` is wrapped instead:
the wrapper takes the time and appends it to a list. Receivers are connected only for the other
signals; those of attempts that end in another way (an error, a held lock, a retry) note the task in
`_attempts_ended`. When the wrapper gets control back, an attempt that is not noted there was
completed, so the ordinary attempt needs no receiver at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from huey.signals import SIGNAL_COMPLETE, SIGNAL_ERROR, SIGNAL_EXECUTING, SIGNAL_RETRYING

from .._lock_errors import LockErrors
from ..huey_internals.django_tasks import RUN_TASK, RUN_TASK_NAME, task_key, task_name
from ..huey_internals.facts import SIGNALS, is_own_method, passed_exception
from ..huey_internals.patch import MethodPatch, SignalConnections
from ..runtime.scheduler import JobGroup, scheduler
from .counter import MetricCounter
from .names import SIGNALS_TOTAL

_OTHER_ENDS = frozenset(
    {"canceled", "error", "interrupted", "locked", "rate-limited", "retrying", "timeout"}
)
"""The signals that end an attempt in another way than ``complete``."""

_BUSY = frozenset({SIGNAL_ERROR, SIGNAL_RETRYING, "timeout"})
"""The signals among them after which an attempt is timed, unless its error is a lock error."""

_AGGREGATE_SECONDS = 1.0
_INACTIVE_KEY = 0
"""A key that keeps `_attempts_ended` from being empty while the kit is not installed."""
_COUNTED_BY_WRAPPER = frozenset({SIGNAL_EXECUTING, SIGNAL_COMPLETE})


class Meter:
    """The component that counts every signal of one Huey in the `MetricCounter` of its kit.

    Attempts that completed, failed or timed out are timed; an attempt that was locked, canceled or
    rate-limited did no work. The signal ``executing`` is counted when the attempt has ended. An
    attempt that runs while the kit is replaced is counted by neither kit.

    Args:
        huey: The Huey.
        connections: Connects receivers to the signals of the Huey.
        counter: Gets the counts.
        lock_errors: Tells lock errors from other errors.
        jobs: The jobs of the kit; one of them adds up the counts every second.
    """

    def __init__(
        self,
        huey: Any,
        connections: SignalConnections,
        counter: MetricCounter,
        lock_errors: LockErrors,
        jobs: JobGroup,
    ) -> None:
        self._jobs = jobs
        self._huey = huey
        self._connections = connections
        self._counter = counter
        self._lock_errors = lock_errors
        self._attempts = counter.attempts
        self._attempts_ended: dict[int, bool] = {}
        """By `id` of a task whose attempt did not complete: whether a worker was busy with it."""
        self._patch = MethodPatch(huey)
        self._wrapper: Callable[..., Any]
        self._is_active = False

    def install(self) -> None:
        """Wrap ``_execute`` of this Huey, and connect the receivers."""
        self._is_active = True
        self._attempts_ended.pop(_INACTIVE_KEY, None)
        self._jobs.every(_AGGREGATE_SECONDS, self._counter.aggregate, "counts")
        self._patch.wrap("_execute", self._wrap)
        self._connections.connect(self._on_attempt_end, _OTHER_ENDS)
        self._connections.connect(self._on_signal, SIGNALS - _OTHER_ENDS - _COUNTED_BY_WRAPPER)

    def uninstall(self) -> None:
        """Stop counting; a wrapper that other code has put around this one since stays."""
        self._is_active = False
        # With this item the mapping is never empty, so an attempt that still runs in this wrapper
        # takes the slow way, which checks `_is_active`.
        self._attempts_ended[_INACTIVE_KEY] = False
        self._patch.remove()

    def _on_signal(self, signal: str, task: Any, /, *_: object, **__: object) -> None:
        cls = type(task)
        name = f"{cls.__module__}.{cls.__name__}"  # Hot path: `task_name` in line.
        self._counter.add(
            (SIGNALS_TOTAL, name if name != RUN_TASK_NAME else task_name(task), signal)
        )
        self._counter.aggregate_if_large()
        if scheduler.thread is None:
            scheduler.start()

    def _on_attempt_end(
        self, signal: str, task: Any, exception: Any = None, /, *others: object, **named: object
    ) -> None:
        if others or named or not (exception is None or isinstance(exception, BaseException)):
            exception = passed_exception(signal, (exception, *others, *named.values()))
        was_busy = signal in _BUSY and not self._lock_errors.match(exception)
        self._attempts_ended.setdefault(id(task), was_busy)
        self._on_signal(signal, task)

    def _wrap(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return the wrapper of ``_execute``, which is the hot path of every task."""
        # The method of the class is looked up at each call, because Sentry, for one, may patch the
        # class later.
        is_own = is_own_method(self._huey, "_execute", original)
        owner: Any = type(self._huey) if is_own else _Original(original)
        huey, ended, clock = self._huey, self._attempts_ended, time.monotonic
        completed, record, nested = (
            self._attempts.completed,
            self._record_attempt,
            self._execute_nested,
        )

        def execute(task: Any, timestamp: Any = None) -> Any:
            if ended and id(task) in ended:
                return nested(task, timestamp)
            start = clock()
            try:
                value = owner._execute(huey, task, timestamp)
            except BaseException:
                record(task, None)
                raise
            # A task of this name may be a Django task, which is counted by its own name.
            if ended or task.name == RUN_TASK:
                record(task, clock() - start)
            else:
                completed[type(task)].append(clock() - start)
            return value

        self._wrapper = execute
        return execute

    def _execute_nested(self, task: Any, timestamp: Any) -> Any:
        """Run a task inside its own earlier attempt, as Huey retries in immediate mode."""
        outer = self._attempts_ended.pop(id(task))
        try:
            return self._wrapper(task, timestamp)
        finally:
            self._attempts_ended[id(task)] = outer

    def _record_attempt(self, task: Any, seconds: float | None) -> None:
        """Count an attempt that may not have completed.

        Args:
            task: The task.
            seconds: The duration of the attempt; None if ``_execute`` raised an exception.
        """
        was_busy = self._attempts_ended.pop(id(task), None)
        if not self._is_active:
            return
        if seconds is None or was_busy is not None:
            self._on_signal(SIGNAL_EXECUTING, task)
            if seconds is not None and was_busy:
                self._attempts.failed[task_key(task)].append(seconds)
        else:
            self._attempts.completed[task_key(task)].append(seconds)


class _Original:
    """A wrapper that was on the Huey already, with the ``_execute`` of Huey's class."""

    def __init__(self, original: Callable[..., Any]) -> None:
        self._original = original

    def _execute(self, huey: Any, task: Any, timestamp: Any) -> Any:
        return self._original(task, timestamp)
