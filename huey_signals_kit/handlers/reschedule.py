"""Rescheduling of tasks that could not acquire their lock."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

from huey.api import PeriodicTask
from huey.signals import SIGNAL_ERROR, SIGNAL_LOCKED, SIGNAL_RETRYING
from huey.utils import normalize_time

from .._checks import name_of, short, validate_seconds
from ..event import Event
from ..huey_internals.django_tasks import lock_errors_of
from ..metrics.names import HANDLER_ERRORS
from ..runtime.log import log, log_error
from ..verdict import DROP, Verdict
from . import wait_state
from .wait_state import WaitState

_TEN_YEARS = 10 * 365 * 86_400.0
_ORIGINAL_CLASS = "_huey_signals_kit_hides"
"""The attribute of a class made by `_false_class` that has the original class."""


@dataclass(frozen=True)
class RescheduleLocked:
    """A handler that schedules a locked task again, instead of letting it fail.

    The task keeps its id, its retries, its pipeline and its part of a chord. Each delay is
    shortened at random, so that tasks that met at a lock do not meet there again. A task whose
    next run would come after `give_up_after` or after its ``expires`` fails: as with
    `drop_lock_errors` its error is not stored, and the task is not retried.

    Register the handler for the signals locked and error, and for retrying, so that a retry after a
    real error has the whole waiting time again. The handler cannot run with ``background=True``,
    because Huey decides immediately after the signal.

    For Huey each new attempt is a retry, but it uses up none of the task's retries: the signals are
    locked (or error), retrying, scheduled. A task that was revoked by its id is not scheduled
    again. A task whose class was revoked is scheduled, and Huey looks at that token when the task
    is due.

    Tasks with their own ``lock_errors`` are left alone, and so are all tasks in immediate mode,
    which has no scheduler. Periodic tasks are dropped, because they run again anyway. If another
    handler's verdict wins, the task is neither scheduled nor given up.

    Args:
        delay: Seconds until the second attempt.
        backoff: The factor by which each delay is longer than the one before, 1 to 1000.
        max_delay: The longest delay, in seconds.
        jitter: The largest fraction by which a delay is shortened, 0 to 1.
        give_up_after: Seconds after the first attempt in which the task must run.
    """

    reschedules: ClassVar[bool] = True

    delay: float = 5.0
    backoff: float = 2.0
    max_delay: float = 300.0
    jitter: float = 0.25
    give_up_after: float = 3600.0

    def __post_init__(self) -> None:
        for name in ("delay", "max_delay", "give_up_after"):
            validate_seconds(getattr(self, name), _argument(name), maximum=_TEN_YEARS)
        _check_number("backoff", self.backoff, 1, 1000)
        _check_number("jitter", self.jitter, 0, 1)
        for name in ("max_delay", "give_up_after"):
            if getattr(self, name) < self.delay:
                raise ValueError(
                    f"{_argument(name)} takes at least delay={self.delay!r}, "
                    f"got {getattr(self, name)!r}"
                )

    def __call__(self, event: Event) -> Verdict | None:
        """Return a verdict that schedules the task again or gives it up; None if no lock error."""
        task, signal = event._task, event._signal
        if signal not in (SIGNAL_LOCKED, SIGNAL_ERROR) or not event.is_lock_error:
            if signal in (SIGNAL_ERROR, SIGNAL_RETRYING):
                wait_state.clear(task)
            return None
        if event._huey.immediate or self._has_own_lock_errors_option(event):
            return None
        if isinstance(task, PeriodicTask):
            return DROP
        return Verdict("drop", plan=_Rescheduling(self, event))

    def suppresses_lock_errors(self, event: Event) -> bool:
        """Return whether the error will not be stored, so that Sentry gets no event."""
        return not event._huey.immediate

    @staticmethod
    def _has_own_lock_errors_option(event: Event) -> bool:
        task, exception = event._task, event._exception
        if exception is None or lock_errors_of(task) is None:
            return False
        return event._context.task_verdict(task, exception) is not None

    def next_wait(self, wait: WaitState) -> tuple[WaitState, float]:
        """Return the wait after one more skip, and its delay in seconds, shortened by jitter."""
        delay = min(max(wait.delay * self.backoff, self.delay), self.max_delay)
        return replace(wait, delay=delay), delay * (1 - self.jitter * random.random())

    def end_of(self, wait: WaitState) -> float:
        """Return when the task is given up, in seconds since the epoch."""
        end = wait.since + self.give_up_after
        return end if wait.deadline is None else min(end, wait.deadline)


class _Rescheduling:
    """The `Plan` of `RescheduleLocked` for one attempt.

    Huey itself schedules the task, as for a retry. It does so if the task has retries left, and it
    enqueues no ``on_error`` task if there is none. To change nothing that user code can see, both
    keep their values, and only their truth values differ until Huey has decided.
    """

    def __init__(self, handler: RescheduleLocked, event: Event) -> None:
        self._handler = handler
        self._event = event
        self._wait: WaitState | None = None
        self._eta: Any = None

    def start(self) -> Verdict:
        """Prepare the task for a retry, or end it if it is revoked or has waited too long."""
        event, handler, now = self._event, self._handler, time.time()
        task, huey = event._task, event._huey
        # Only the token of the id: Huey deletes it soon, and then the task would run. The token of
        # a class stays until the task is due.
        if huey.is_revoked(task.id, peek=True):
            return _give_up(task)
        earlier = wait_state.read(task) or wait_state.begin(task, huey, now)
        wait, delay = handler.next_wait(earlier)
        if now + delay > handler.end_of(wait):
            _log_given_up(event, now - wait.since)
            return _give_up(task)
        self._wait, self._eta = wait, normalize_time(None, delay, huey.utc)
        event._context.carry_waits()
        _check_serializer(huey, task, wait)
        task.retries = _Retries(task.retries, has_next=True)
        _make_false(task.on_error)
        return Verdict("drop", plan=self)

    def cancel(self) -> None:
        """Let the task fail as it would have without the handler."""
        _restore_truth(self._event._task.on_error)

    def requeue(self, requeue: Callable[..., Any], timestamp: Any) -> Any:
        """Have Huey schedule the task; if that fails twice, put the task back into the queue."""
        task, wait = self._event._task, self._wait
        _restore_truth(task.on_error)
        retries = int(task.retries)
        task.retries = _Retries(retries, has_next=True)
        if wait is not None:
            wait_state.write(task, wait)
        try:
            return requeue(task, timestamp, self._eta)
        except Exception as exc:
            self._not_scheduled(exc)
        task.retries, task.eta = retries, self._eta
        huey = self._event._huey
        try:
            # The message is the same: if the first call stored it after all, Redis keeps only one.
            return huey.add_schedule(task)
        except Exception:
            task.eta = None
            return huey.enqueue(task)

    def _not_scheduled(self, exc: Exception) -> None:
        event = self._event
        event._context.increment((HANDLER_ERRORS, name_of(self._handler)))
        log_error(
            "Task %s (%s) could not be scheduled again. The kit tries once more; if that fails, it "
            "puts the task back into the queue.",
            event.task_name,
            event.task_id,
            exc_info=exc,
            queue=event.queue,
            task=event.task_name,
            task_id=event.task_id,
        )


class _Retries(int):
    """A number of retries whose truth value is `has_next`: whether there will be another attempt.

    Huey subtracts one for each attempt. If `has_next` is True, that leaves the number unchanged.
    Pickled, the object is a plain number.
    """

    has_next: bool

    def __new__(cls, number: int | None, has_next: bool) -> _Retries:
        retries = super().__new__(cls, number or 0)
        retries.has_next = has_next
        return retries

    def __bool__(self) -> bool:
        return self.has_next

    def __sub__(self, other: int) -> int:
        return int(self) if self.has_next else int(self) - other

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        return (int, (int(self),))


def _give_up(task: Any) -> Verdict:
    """Have Huey make no other attempt, and store no error."""
    if task.retries:
        task.retries = _Retries(task.retries, has_next=False)
    return DROP


@lru_cache(maxsize=256)
def _false_class(cls: Any) -> Any:
    """Return a subclass of `cls` whose instances are false."""
    names = {"__module__": cls.__module__, "__bool__": lambda self: False, _ORIGINAL_CLASS: cls}
    return type(cls.__name__, (cls,), names)


def _make_false(task: Any) -> None:
    """Make the truth value of `task` False, until `_restore_truth`."""
    if task is not None:
        cls: Any = type(task)
        task.__class__ = _false_class(cls)


def _restore_truth(task: Any) -> None:
    cls = getattr(type(task), _ORIGINAL_CLASS, None)
    if cls is not None:
        task.__class__ = cls


def _check_serializer(huey: Any, task: Any, wait: WaitState) -> None:
    """Raise if `task` with `wait` cannot be serialized and read, before anything is stored."""
    before = wait_state.read(task)
    wait_state.write(task, wait)
    try:
        message = huey.serialize_task(task)
        # A user's serializer may lose the name of the time zone. Then every wait of the task would
        # look like the first, and the task would never be given up.
        if type(huey.serializer).__module__.partition(".")[0] == "huey":
            return
        wait_read = wait_state.read(huey.deserialize_task(message))
    finally:
        wait_state.clear(task)
        if before is not None:
            wait_state.write(task, before)
    if wait_read != wait:
        raise TypeError(
            f"{short(huey.serializer)} loses the name of a datetime's time zone, in which "
            "RescheduleLocked keeps since when a task waits; let it pickle datetimes"
        )


def _log_given_up(event: Event, waited: float) -> None:
    log(
        logging.WARNING,
        "Task %s (%s) has waited %.0f s for lock %r and is given up.",
        event.task_name,
        event.task_id,
        waited,
        event.lock,
        queue=event.queue,
        task=event.task_name,
        task_id=event.task_id,
        lock=event.lock,
        seconds=waited,
    )


def _argument(name: str) -> str:
    return f"{name}= of RescheduleLocked()"


def _check_number(name: str, value: object, minimum: float, maximum: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{_argument(name)} takes a number, got {short(value)}")
    if not minimum <= value <= maximum:
        raise ValueError(f"{_argument(name)} takes {minimum} to {maximum}, got {short(value)}")
