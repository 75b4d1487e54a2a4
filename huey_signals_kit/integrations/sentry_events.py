"""Changes to the events that tasks send to Sentry.

One event processor serves all kits. It is added to Sentry's list of global processors when a kit is
installed, or when `sentry_sdk` is imported after that. Sentry calls the processor where an event is
captured, so the processor finds the task on the call stack. Transactions and check-ins are not
changed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

from huey.exceptions import TaskLockedException
from huey.signals import SIGNAL_ERROR, SIGNAL_LOCKED

from ..dispatch.receiver import Receiver
from ..event import Context, Event
from ..huey_internals.django_tasks import LOG_FUNCTION as DJANGO_LOG_FUNCTION
from ..huey_internals.django_tasks import LOGGERS as DJANGO_LOGGERS
from ..huey_internals.django_tasks import lock_errors_of, task_name
from ..huey_internals.stack import TaskExecution, current_execution
from ..runtime.log import ErrorReporter
from .recent_skips import Skips
from .sentry_breadcrumbs import with_skips

SentryEvent = dict[str, Any]


class _Processor:
    """The event processor of all kits; an import hook until Sentry is imported."""

    def __init__(self) -> None:
        self.kits: WeakValueDictionary[int, SentryEvents] = WeakValueDictionary()
        """The `SentryEvents` of each kit, by the identity of its Huey."""

    def register(self) -> None:
        """Register with Sentry, now or as soon as it is imported."""
        processors = _global_processors()
        if processors is None:
            if self not in sys.meta_path:
                sys.meta_path.insert(0, self)
        elif self not in processors:
            # First, so that Sentry's deduplication does not remember an exception that is not sent.
            processors.insert(0, self)

    def remove(self) -> None:
        """Remove the processor from Sentry and from the import hooks."""
        for place in (_global_processors() or [], sys.meta_path):
            if self in place:
                place.remove(self)

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> None:
        """Register when Sentry is being imported; as an import hook, find no module."""
        if name.startswith("sentry_sdk.") and _global_processors() is not None:
            self.register()

    def __call__(self, event: SentryEvent, hint: dict[str, Any]) -> SentryEvent | None:
        running = None if event.get("type") else current_execution()
        kit = None if running is None else self.kits.get(id(running.huey))
        if kit is None or running is None:
            return event
        return kit.process(event, hint, running)


def _global_processors() -> list[Any] | None:
    scope = sys.modules.get("sentry_sdk.scope")
    processors = getattr(scope, "global_event_processors", None)
    return processors if isinstance(processors, list) else None


_processor = _Processor()


class SentryEvents:
    """Changes to the events of one Huey's tasks: recent lock skips are added to each event.

    An event about a lock error that will not be stored is not sent. If the kit's own code raises,
    the event is sent as it was.

    Args:
        huey: The Huey.
        context: What handlers may use of the kit.
        receiver: Returns the handlers that listen to the signal of an event.
        reporter: Logs failures.
    """

    def __init__(
        self,
        huey: Any,
        context: Context,
        receiver: Receiver,
        reporter: ErrorReporter,
    ) -> None:
        self.skips = Skips()
        self._huey = huey
        self._context = context
        self._listeners_of = receiver.listeners
        self._failed = reporter.kit_failed

    def install(self) -> None:
        """Begin to process the events of this Huey's tasks."""
        _processor.kits[id(self._huey)] = self
        _processor.register()

    def uninstall(self) -> None:
        """Stop processing the events of this Huey's tasks."""
        if _processor.kits.get(id(self._huey)) is self:
            del _processor.kits[id(self._huey)]
        if not _processor.kits:
            _processor.remove()

    def process(
        self, event: SentryEvent, hint: dict[str, Any], running: TaskExecution
    ) -> SentryEvent | None:
        """Return the event with the skips of the task; None if it is about a suppressed error."""
        try:
            reported = _exception_of_task(event, hint, running)
            if reported is not None and self.suppresses(running.task, reported):
                return None
            skips = self.skips.recent(task_name(running.task))
            return with_skips(event, skips) if skips else event
        except Exception as exc:
            self._failed("in an event for Sentry", exc)
            return event

    def suppresses(self, task: Any, exception: BaseException) -> bool:
        """Return whether the kit is about to suppress the exception that ended the task.

        Sentry reports an exception before Huey emits its signal, so no handler has run yet. The
        task's own ``lock_errors`` decides, if it is valid. Otherwise the exception is suppressed
        if a handler with ``suppresses_lock_errors`` (True, or a method that returns True for the
        event) listens to the signal and its filters match. If a user's handler later returns
        another verdict, the event stays unsent.
        """
        if not self._context.lock_errors.match(exception):
            return False
        if lock_errors_of(task) is not None:
            verdict = self._context.task_verdict(task, exception)
            if verdict is not None:
                return verdict.action != "keep"
        signal = SIGNAL_LOCKED if isinstance(exception, TaskLockedException) else SIGNAL_ERROR
        expected = Event(signal, task, self._huey, exception, None, self._context)
        return any(
            handler.suppresses_lock_errors(expected)
            and handler.background is None
            and handler.matches(expected)
            for handler in self._listeners_of(expected)
        )


def _exception_of_task(
    event: SentryEvent, hint: dict[str, Any], running: TaskExecution
) -> BaseException | None:
    """Return the exception that ended the task, if the event was made for it.

    Such an event comes from Sentry's HueyIntegration or from Huey's own log line, and for one of
    Django's own tasks from Django's log line. An event that the user's code captures or logs is
    left alone, even if it has the same exception.
    """
    exc_info = hint.get("exc_info") or (None, None, None)
    exception: BaseException | None = exc_info[1]
    if exception is not None and _mechanism(event) == "huey":
        return exception
    logged_in = getattr(hint.get("log_record"), "funcName", None)
    if event.get("logger") in DJANGO_LOGGERS and logged_in == DJANGO_LOG_FUNCTION:
        return exception
    if event.get("logger") != "huey" or logged_in != "_execute":
        return None
    # Huey's log line about a lock has no exception; it is an event if warnings become events.
    return running.caught if exception is None or exception is running.caught else None


def _mechanism(event: SentryEvent) -> object:
    values = (event.get("exception") or {}).get("values")
    return (values[-1].get("mechanism") or {}).get("type") if values else None
