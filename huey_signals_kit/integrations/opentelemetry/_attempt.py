"""The span of an attempt, and what Huey's signals say about its outcome."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from huey import signals
from opentelemetry.trace import Span, Status, StatusCode

from ..._lock_errors import LockErrors, lock_name
from ...huey_internals.facts import EXCEPTION_NOT_PASSED, passed_exception
from ...huey_internals.stack import caught_by_huey
from ._header import Carrier

SKIPPED = "huey.skipped"
"""The signal that ended the attempt without an error, such as ``locked``."""
LOCK = "huey.lock"
"""The lock that the task could not acquire."""
WILL_RETRY = "huey.will_retry"
"""True if Huey makes another attempt."""
ERROR_TYPE = "error.type"

_SKIPS = {
    signals.SIGNAL_REVOKED,
    signals.SIGNAL_EXPIRED,
    signals.SIGNAL_LOCKED,
    signals.SIGNAL_CANCELED,
    "rate-limited",
}
_ERRORS = {signals.SIGNAL_ERROR, signals.SIGNAL_INTERRUPTED, "timeout"}
OUTCOMES = frozenset({signals.SIGNAL_RETRYING, *_SKIPS, *_ERRORS})
"""The signals that `Attempt.on_signal` needs."""


class Attempt:
    """The span of one attempt.

    Args:
        task: The task.
        span: The span, which has been started.
        lock_errors: The exceptions that count as lock errors.
    """

    __slots__ = ("_lock_errors", "has_failed", "scheduled", "span", "task", "will_retry")

    def __init__(self, task: Any, span: Span, lock_errors: LockErrors) -> None:
        self.task = task
        self.span = span
        self._lock_errors = lock_errors
        self.has_failed = self.will_retry = False
        self.scheduled: tuple[str, Carrier | None] | None = None
        """What the attempt has put into the schedule: the state of the task, and the carrier."""

    def on_signal(self, signal: str, arguments: tuple[object, ...]) -> None:
        """Write what a signal says about the attempt to the span.

        Args:
            signal: The name of the signal.
            arguments: What Huey passes to receivers after the task.
        """
        if signal == signals.SIGNAL_RETRYING:
            self.will_retry = True
            self.span.set_attribute(WILL_RETRY, True)
        elif signal in _SKIPS:
            self.span.set_attribute(SKIPPED, signal)
            if signal == signals.SIGNAL_LOCKED:
                self._set_lock(caught_by_huey(signal))
        elif signal in _ERRORS:
            exception = passed_exception(signal, arguments)
            if exception is None and signal in EXCEPTION_NOT_PASSED:
                exception = caught_by_huey(signal)
            if signal == signals.SIGNAL_ERROR and self._lock_errors.match(exception):
                self.span.set_attribute(SKIPPED, signals.SIGNAL_LOCKED)
                self._set_lock(exception)
            else:
                self.fail(signal, exception)

    def fail(self, signal: str, exception: BaseException | None) -> None:
        """Set the status of the span to ERROR, and record the exception."""
        self.has_failed = True
        record_error(self.span, exception, signal)

    def _set_lock(self, exception: BaseException | None) -> None:
        name = lock_name(exception)
        if name is not None:
            self.span.set_attribute(LOCK, name)


def record_error(span: Span, exception: BaseException | None, error_type: str) -> None:
    """Set the status of a span to ERROR, and record the exception.

    Args:
        span: The span.
        exception: The exception, or None if it is unknown.
        error_type: The type of the error if there is no exception.
    """
    if exception is None:
        span.set_attribute(ERROR_TYPE, error_type)
        span.set_status(Status(StatusCode.ERROR, error_type))
        return
    cls = type(exception)
    name = (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )
    span.set_attribute(ERROR_TYPE, name)
    try:
        text = f"{cls.__name__}: {exception}"
    except Exception:  # __str__ of the exception raises
        text = cls.__name__
    span.set_status(Status(StatusCode.ERROR, text))
    try:
        span.record_exception(exception)
    except Exception:
        span.add_event("exception", {"exception.type": name})


current_attempt: ContextVar[Attempt | None] = ContextVar("huey_signals_kit_attempt", default=None)
"""The attempt that this thread or greenlet is making."""
