"""The event: one signal of Huey, as handlers get it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field
from typing import Any, Protocol

from huey import signals

from ._checks import short
from ._lock_errors import LockErrors, lock_name
from .huey_internals.django_tasks import RUN_TASK_NAME, task_name
from .huey_internals.facts import FAILURE_SIGNALS
from .huey_internals.stack import Timing, timing_in
from .verdict import Verdict

_RETRY_DECIDED = FAILURE_SIGNALS | {signals.SIGNAL_RETRYING}
"""Signals at which it is decided whether Huey makes another attempt."""

Skip = tuple[float, str, str, int]
"""An attempt that failed because its lock was held by another task.

The time in seconds since the epoch, the lock's name or ``""``, the task's id, the attempt's number.
"""


class _HasTruth(Protocol):
    def __bool__(self) -> bool: ...


def _do_nothing(*_: object, **__: object) -> None:
    return None


@dataclass
class Context:
    """The parts of the kit that the built-in handlers may use.

    The defaults do nothing. They are for events that are made by hand, as in a test of a handler.
    """

    lock_errors: LockErrors = field(default_factory=LockErrors)
    task_verdict: Callable[[Any, BaseException], Verdict | None] = _do_nothing
    """Returns what the task's own ``lock_errors`` says about a lock error."""
    meters_signals: bool = False
    """Whether every signal is counted even without a handler."""
    lock_labels: Mapping[str, str] = field(default_factory=lambda: defaultdict(str))
    """The label of each lock's name."""
    increment: Callable[[tuple[str, ...]], object] = _do_nothing
    """Adds one to a counter: the metric, then the values of its labels without the queue."""
    record_skip: Callable[[tuple[str, str, float]], object] = _do_nothing
    """Adds a skip (task id, lock, time) to the next heartbeat."""
    add_skip_breadcrumb: Callable[[str, Skip], object] = _do_nothing
    """Keeps a skip of a task, by its name, for the events that the task sends to Sentry."""
    should_delete_token: Callable[[Event], object] = _do_nothing
    """Returns whether the revoke token of an event's task can be deleted."""
    cancel_django_record: Callable[[Any], object] = _do_nothing
    """Marks the record of a revoked Django task FAILED."""
    carry_waits: Callable[[], object] = _do_nothing
    """Begins to write into messages of rescheduled tasks how long each task has been waiting."""
    announce: Callable[..., object] = _do_nothing
    """Sends a signal of `huey_signals_kit.signals` with its keyword arguments."""


_DETACHED = Context()
_UNREAD = ""
"""The value of `Event._lock` until the name was looked for in the exception."""


class Event:
    """One signal of Huey, as every handler receives it; read-only.

    `timestamp` and `started` are seconds since the epoch; `duration` is in seconds, as Huey
    measured it. `started` and `duration` are None if the task has not run. To test a handler,
    make an event by hand: ``Event("locked", task, huey)``.
    """

    # Set by the built-in handlers, so that each acts once even if several registrations match.
    _signal_counted = _skip_counted = _skip_remembered = False
    _is_django_task = False

    def __init__(
        self,
        signal: str,
        task: Any,
        huey: Any,
        exception: BaseException | None = None,
        timing: Timing | None = None,
        context: Context = _DETACHED,
    ) -> None:
        cls = type(task)
        name = f"{cls.__module__}.{cls.__name__}"  # Hot path: `task_name` in line.
        if name == RUN_TASK_NAME:
            self._is_django_task, name = True, task_name(task)
        self._task_name = name
        self._signal = signal
        self._task = task
        self._huey = huey
        self._exception = exception
        self._timestamp = time.time()
        self._retries_left = task.retries or 0
        self._timing = timing
        traceback = None if exception is None else exception.__traceback__
        # Kept from here, because the traceback changes if the exception is raised again.
        self._frame = None if traceback is None else traceback.tb_frame
        self._context = context
        self._is_lock_error: bool | None = None
        self._lock: str | None = _UNREAD

    def __repr__(self) -> str:
        reason = f" because of {short(self.exception)}" if self.exception is not None else ""
        return f"<Event {self.signal!r} of {self.task_name} {self.task_id}{reason}>"

    @property
    def signal(self) -> str:
        """The name of the signal: ``"locked"``, ``"error"``, ..."""
        return self._signal

    @property
    def task(self) -> Any:
        """Huey's task object."""
        return self._task

    @property
    def huey(self) -> Any:
        """The Huey that emitted the signal."""
        return self._huey

    @property
    def exception(self) -> BaseException | None:
        """The exception of the attempt, also for signals with which Huey passes none."""
        return self._exception

    @property
    def timestamp(self) -> float:
        """The time of the signal."""
        return self._timestamp

    @property
    def retries_left(self) -> int:
        """The number of attempts that Huey may still make after this one."""
        return self._retries_left

    @property
    def task_id(self) -> str:
        """The task's id."""
        return str(self._task.id)

    @property
    def task_name(self) -> str:
        """``module.name``, as Huey registers the task and as ``tasks=`` matches it.

        For one of Django's own tasks it is the module path of the function.
        """
        return self._task_name

    @property
    def queue(self) -> str:
        """The name of the Huey."""
        return str(self._huey.name)

    @property
    def is_lock_error(self) -> bool:
        """Whether the exception means that another task held the lock."""
        if self._is_lock_error is None:
            self._is_lock_error = self._context.lock_errors.match(self._exception)
        return self._is_lock_error

    @property
    def lock(self) -> str | None:
        """The name of the lock that the task could not acquire, or None."""
        if self._lock == _UNREAD:
            self._lock = lock_name(self._exception)
        return self._lock

    @property
    def will_retry(self) -> bool:
        """Whether Huey makes another attempt because this one failed."""
        if self._signal not in _RETRY_DECIDED or not self._retries_left:
            return False
        # If a pre-execute hook cancels the task before it starts, Huey does not retry it.
        return self._signal != signals.SIGNAL_CANCELED or self.started is not None

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1.

        Huey keeps only the retries that are left, so the number is counted from the ``retries=``
        with which the task was declared. The number is wrong if a single call or
        ``CancelExecution`` changed the retries.
        """
        return max(1, int(getattr(self._task, "default_retries", 0) or 0) - self._retries_left + 1)

    @property
    def started(self) -> float | None:
        """The time at which the attempt began."""
        if self._signal == signals.SIGNAL_EXECUTING:
            return self._timestamp
        since = self._measured.since_start
        return None if since is None else self._timestamp - since

    @property
    def duration(self) -> float | None:
        """The seconds that the attempt took; None before it ends."""
        return self._measured.duration

    @property
    def _measured(self) -> Timing:
        return timing_in(self._frame, self._task) if self._timing is None else self._timing


Predicate = Callable[[Event], _HasTruth | Sized | None]
"""The type of ``when=`` and ``clean_tokens=``: a function whose result can be false.

Coroutines and generators are always true, so type checkers refuse functions that return them.
"""
