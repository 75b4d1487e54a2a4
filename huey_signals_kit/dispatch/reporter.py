"""Reports of a kit: signals to subscribers, failures to the log and in counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from blinker import NamedSignal

from .. import signals as announcements
from .._checks import name_of, short, validate_not_deferred
from ..event import Event
from ..metrics.counter import AGGREGATE_AT, MetricCounter
from ..metrics.names import HANDLER_ERRORS, SUPPRESSED
from ..runtime.job import log_last_failure
from ..runtime.log import RateLimitedErrors, is_exit, log_error
from ..verdict import Verdict
from .handler import Handler

RECORD = "django_record"
"""The label under which failed changes to the records of Django's tasks are counted."""


class Reporter:
    """Reports what one kit does and what fails: to subscribers, to the log and in counts."""

    def __init__(self, huey: Any, counter: MetricCounter) -> None:
        self._huey = huey
        self._counter = counter
        self._increment = counter.add
        self._failures = RateLimitedErrors()

    def announce(self, signal: NamedSignal, **payload: object) -> None:
        """Send one of `huey_signals_kit.signals`; what subscribers raise is logged and counted."""
        if signal.receivers:
            on_failure = partial(self._subscriber_failed, signal.name)
            _announce(signal, self._huey, on_failure, **payload)

    def handler_failed(self, handler: Handler, event: Event, exc: BaseException) -> None:
        """Log, count and announce that a handler raised an exception."""
        # By order of registration: handlers made by the same factory have the same name.
        name, key = f"Handler {handler.name}", ("handler", handler.order)
        self._failures.report(name, f"on {short(event)}", exc, key)
        self._increment((HANDLER_ERRORS, handler.name))
        self.announce(
            announcements.handler_failed, handler=handler.name, event=event, exception=exc
        )

    def result_suppressed(self, task_id: str, task_name: str, verdict: Verdict) -> None:
        """Count and announce an error that is not stored as Huey would store it.

        Args:
            task_id: The key under which Huey would have stored it.
            task_name: The ``module.name`` of the task that failed.
            verdict: The reason.
        """
        if verdict.plan is not None:
            return  # nothing was suppressed: the task will run again
        self._increment((SUPPRESSED, task_name, verdict.action))
        if len(self._counter.pending) >= AGGREGATE_AT:
            self._counter.aggregate_if_large()
        signal = announcements.result_suppressed
        if signal.receivers:
            self.announce(signal, task_id=task_id, task_name=task_name, verdict=verdict)

    def job_failed(self, name: str, exc: BaseException, last: bool = False) -> None:
        """Log and count that a sink or another job of the scheduler raised; see `OnFailure`."""
        if last:
            log_last_failure(name, exc)
        else:
            self._failures.report(name, "on the scheduler", exc)
        self._increment((HANDLER_ERRORS, name.replace(" ", "_")))

    def kit_failed(self, where: str, exc: Exception) -> None:
        """Log that the kit's own code raised."""
        self._failures.report("The kit itself", where, exc, ("kit", where))

    def record_failed(self, exc: Exception) -> None:
        """Log and count that the record of a Django task could not be changed."""
        self._failures.report("The record of a Django task", "to follow the verdict", exc)
        self._increment((HANDLER_ERRORS, RECORD))

    def stale_lock(self, name: str, host: str | None, pid: int | None, will_release: bool) -> None:
        """Log that a lock is held by a process that is dead.

        Args:
            name: The name of the lock.
            host: The host of the holder.
            pid: The process id of the holder.
            will_release: Whether the kit releases the lock now.
        """
        log_error(
            "The lock %r is held by process %s on %s, which is dead: %s.",
            name,
            pid,
            host,
            "the kit releases it now"
            if will_release
            else "no task can acquire it until `huey-signals locks release` or "
            "install_handlers(huey, stale_locks='release') releases it",
            queue=self._huey.name,
            lock=name,
        )

    def older_version(self, text: str) -> None:
        """Log that a process of an older version prevents releases and sweeps."""
        log_error("On the queue %r, %s", self._huey.name, text, queue=self._huey.name)

    def _subscriber_failed(self, signal: str, subscriber: object, exc: BaseException) -> None:
        name = name_of(subscriber)
        # Each access to a bound method makes a new object, so the key has the owner's id.
        owner = getattr(subscriber, "__self__", subscriber)
        self._failures.report(
            f"Subscriber {name}", f"on {signal!r}", exc, ("subscriber", name, id(owner))
        )
        self._increment((HANDLER_ERRORS, name))


def subscriber_names(huey: Any) -> list[str]:
    """Return the names under which errors of the connected subscribers are counted."""
    signals = [value for value in vars(announcements).values() if isinstance(value, NamedSignal)]
    return sorted({name_of(each) for signal in signals for each in signal.receivers_for(huey)})


def _announce(
    signal: NamedSignal,
    huey: Any,
    on_failure: Callable[[Any, BaseException], None],
    **payload: Any,
) -> None:
    """Send a blinker signal; a subscriber that raises does not stop the others.

    blinker's own ``send`` stops at the first subscriber that raises.

    Args:
        signal: The signal.
        huey: The sender.
        on_failure: Called with each subscriber that raised, and the exception.
        **payload: The keyword arguments for the subscribers.
    """
    if signal.is_muted:
        return
    for subscriber in list(signal.receivers_for(huey)):
        try:
            validate_not_deferred(subscriber(huey, **payload), "the subscriber")
        except BaseException as exc:
            if is_exit(exc):
                raise
            on_failure(subscriber, exc)
