"""Schedules a task again that could not get its lock."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass, replace
from typing import Any

from huey.api import PeriodicTask
from huey.signals import SIGNAL_ERROR, SIGNAL_LOCKED, SIGNAL_RETRYING
from huey.utils import normalize_time

from .._checks import checked_seconds, short
from .._failures import say
from ..event import Event
from ..verdict import DROP, RESCHEDULED, Verdict
from . import _waiting
from ._waiting import Wait

_TEN_YEARS = 10 * 365 * 86_400.0
_DONE = "_huey_signals_kit_rescheduled"
# What Huey would still do with a task whose attempt has failed, and its message does later.
_NOTHING_LEFT: dict[str, Any] = {
    "retries": 0,
    "on_complete": None,
    "on_error": None,
    "chord_config": None,
}


@dataclass(frozen=True)
class RescheduleLocked:
    """Handler: a task that could not get its lock is scheduled again, instead of failing.

    It comes back under its id, with its retries, its pipeline and its place in a chord, first
    after *delay* seconds, then *backoff* times as long each time, at most *most* seconds; each
    delay is shortened by chance, by up to the fraction *jitter*, so that those who met at a lock
    do not meet there again. One that would come back later than *give_up_after* seconds after
    its first attempt, or than it expires, has failed for good: it is not stored, as by
    `drop_lock_errors`, and not retried.

    Register it for the signals locked and error, and for retrying: a retry after a real error
    then has the whole time again. Not with ``background=True``: by then Huey has gone on.

    It leaves alone tasks that have ``lock_errors`` of their own, and all tasks in immediate
    mode, where nobody looks at the schedule. Periodic tasks are dropped: they come again anyway.
    Register no other handler that decides about lock errors, but to `KEEP` one. A hook that
    Huey calls after the attempt sees a task without retries and without later stages.
    """

    delay: float = 5.0
    backoff: float = 2.0
    most: float = 300.0
    jitter: float = 0.25
    give_up_after: float = 3600.0

    def __post_init__(self) -> None:
        for name in ("delay", "most", "give_up_after"):
            checked_seconds(getattr(self, name), _argument(name), most=_TEN_YEARS)
        _check_number("backoff", self.backoff, 1, 1000)
        _check_number("jitter", self.jitter, 0, 1)
        for name in ("most", "give_up_after"):
            if getattr(self, name) < self.delay:
                raise ValueError(
                    f"{_argument(name)} takes at least delay={self.delay!r}, "
                    f"got {getattr(self, name)!r}"
                )

    def __call__(self, event: Event) -> Verdict | None:
        """Schedule the task again, or give it up, if the event is a lock error."""
        task, signal = event._task, event._signal
        if signal not in (SIGNAL_LOCKED, SIGNAL_ERROR) or not event.is_lock_error:
            if signal in (SIGNAL_ERROR, SIGNAL_RETRYING):
                _waiting.clear(task)
            return None
        if event._huey.immediate or self._has_a_word_of_its_own(event):
            return None
        if isinstance(task, PeriodicTask):
            return DROP
        if not hasattr(task, _DONE) and not self._reschedule(event):
            return DROP
        return RESCHEDULED

    def suppresses_lock_errors(self, event: Event) -> bool:
        """Whether `event` will not be stored, so that Sentry need not hear of it."""
        return not event._huey.immediate

    @staticmethod
    def _has_a_word_of_its_own(event: Event) -> bool:
        task, exception = event._task, event._exception
        if getattr(task, "lock_errors", None) is None or exception is None:
            return False
        return event._context.own_verdict(task, exception) is not None

    def _reschedule(self, event: Event) -> bool:
        task, huey, now = event._task, event._huey, time.time()
        # Huey is about to delete the token of a revoke that came meanwhile: it would run again.
        if huey.is_revoked(task, peek=True):
            return False
        wait = _waiting.read(task) or _waiting.begin(task, huey, now)
        wait = replace(wait, delay=min(max(wait.delay * self.backoff, self.delay), self.most))
        delay = wait.delay * (1 - self.jitter * random.random())
        if now + delay > self._end_of(wait):
            _give_up(event, now - wait.since)
            return False
        _schedule(task, huey, wait, delay)
        for name, nothing in _NOTHING_LEFT.items():
            setattr(task, name, nothing)
        setattr(task, _DONE, True)
        return True

    def _end_of(self, wait: Wait) -> float:
        end = wait.since + self.give_up_after
        return end if wait.until is None else min(end, wait.until)


def _schedule(task: Any, huey: Any, wait: Wait, delay: float) -> None:
    # Not a copy: Huey knows a context task among its own arguments by its identity.
    found = task.eta, task.expires
    try:
        _waiting.write(task, wait)
        _check_serializer(huey, task, wait)
        task.eta = normalize_time(None, delay, huey.utc)
        huey.add_schedule(task)
    except BaseException:
        task.eta, task.expires = found
        raise


def _check_serializer(huey: Any, task: Any, wait: Wait) -> None:
    # One of the user's may keep a moment and lose the name of its time zone: then the task
    # would wait as if for the first time, for ever.
    if type(huey.serializer).__module__.partition(".")[0] == "huey":
        return
    if _waiting.read(huey.deserialize_task(huey.serialize_task(task))) != wait:
        raise TypeError(
            f"{short(huey.serializer)} loses the name of a datetime's time zone, in which "
            "RescheduleLocked keeps since when a task waits; let it pickle datetimes"
        )


def _give_up(event: Event, waited: float) -> None:
    event._task.retries = 0
    say(
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


def _check_number(name: str, value: object, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{_argument(name)} takes a number, got {short(value)}")
    if not least <= value <= most:
        raise ValueError(f"{_argument(name)} takes {least} to {most}, got {short(value)}")
