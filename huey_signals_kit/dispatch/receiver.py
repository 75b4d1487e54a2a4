"""Receives the signals of one Huey: makes an `Event` of each, and runs the handlers."""

from __future__ import annotations

from typing import Any, Protocol

from huey.signals import SIGNAL_ERROR, SIGNAL_REVOKED

from .. import signals as announcements
from ..event import Context, Event
from ..gate import Gate
from ..handlers.counts import count_signals
from ..huey_internals.django_tasks import task_key, task_name
from ..huey_internals.facts import (
    AFTER_EXCEPT_BLOCK,
    EXCEPTION_NOT_PASSED,
    FAILURE_SIGNALS,
    LOCK_SIGNALS,
    SIGNALS,
    passed_exception,
)
from ..huey_internals.patch import SignalConnections
from ..huey_internals.stack import caught_by_huey, timing_on_stack
from ..metrics.counter import AGGREGATE_AT, MetricCounter
from ..metrics.names import SIGNALS_TOTAL
from ..runtime.scheduler import scheduler
from .handler import Handler, run, wrap_handler
from .reporter import Reporter

_MAX_KINDS = 10_000
"""Maximum number of kinds of events whose handlers are cached."""
_ANNOUNCEMENTS = {
    SIGNAL_REVOKED: announcements.task_revoked,
    **dict.fromkeys(LOCK_SIGNALS, announcements.lock_skipped),
}
"""The announcement of each signal; ``error`` is announced only if it is about a lock error."""
_Key = tuple[str, "type | str", "bool | None"]
"""A signal, the class of a task or the name of a Django task, and whether the exception is a lock
error; None for other signals than ``error``."""
_Route = tuple[tuple[Handler, ...], "tuple[str, ...] | None"]
"""The handlers to run, and the key under which the receiver counts the signal itself, if at all."""


class HandlerSource(Protocol):
    """The source of the handlers to run: a `Kit`."""

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """Every handler, in running order."""


class Receiver:
    """The receiver that one kit connects to the signals of its Huey.

    It is connected only to signals that a handler listens to. The receiver itself makes no round
    trip to the storage; a few handlers do.

    Args:
        huey: The Huey.
        context: Given to each event, for the built-in handlers.
        source: Has the handlers, which are read again after each change.
        gate: Gets the verdict on the exception of an attempt.
        counter: Its pending counts are added up when there are many.
        reporter: Sends announcements, and logs and counts failures.
    """

    def __init__(
        self,
        huey: Any,
        context: Context,
        source: HandlerSource,
        gate: Gate,
        counter: MetricCounter,
        reporter: Reporter,
    ) -> None:
        self._huey = huey
        self._context = context
        self._source = source
        self.attach = gate.attach
        """Called with the task, the exception and the verdict of each failed attempt."""
        self._counter = counter
        self._pending = counter.pending
        self._reporter = reporter
        # If the meter counts every signal, this handler need not run.
        self._unneeded = count_signals if context.meters_signals else None
        self._is_lock_error = context.lock_errors.match
        self._is_connected = False
        self._routes: dict[_Key, _Route] = {}
        self.connections = SignalConnections(huey)

    def update(self, added: Handler | None) -> None:
        """Connect to the signals that the handlers listen to.

        Args:
            added: The handler that was added; None after any other change.
        """
        # Filled when signals arrive: until then, more handlers may be registered.
        self._is_connected, self._routes = True, {}
        handlers = self._source.handlers if added is None else (added,)
        listening = [each for each in handlers if each.function is not self._unneeded]
        signals = {s for s in SIGNALS if any(handler.listens_to(s) for handler in listening)}
        if added is None:
            self.connections.connect(self._receive, signals)
        else:
            self.connections.connect_also(self._receive, signals)

    def disconnect(self) -> None:
        """Disconnect all receivers of the kit; a signal being sent right now runs no handler."""
        self.connections.disconnect_all()
        self._is_connected, self._routes = False, {}

    def listeners(self, event: Event) -> tuple[Handler, ...]:
        """Return the handlers to run for an event, in running order.

        Args:
            event: The event.
        """
        is_lock_error = event.is_lock_error if event._signal == SIGNAL_ERROR else None
        return self._route(event._signal, event._task, is_lock_error)[0]

    def _route(self, signal: str, task: Any, is_lock_error: bool | None) -> _Route:
        """Return what to do for a signal of a task.

        Three kinds of handlers are left out, so that they cost nothing: handlers for other tasks;
        for a real error, handlers for lock errors only; and `count_signals`, in whose place the
        receiver or the meter counts.
        The answer is cached by task class; for Django's own tasks, which share a class, by name.
        """
        cache = self._routes  # another thread may replace it meanwhile
        key = (signal, task_key(task), is_lock_error)
        route = cache.get(key)
        if route is not None:
            return route
        if not self._is_connected:
            return (), None
        listeners: list[Handler] = []
        count_key = None
        for handler in self._source.handlers:
            if (
                not handler.listens_to(signal)
                or (handler.tasks is not None and not handler.tasks(task))
                or (is_lock_error is False and handler.only_lock_errors)
                or handler.function is self._unneeded
            ):
                continue
            handler = handler.without_task_filter()
            if handler.function is count_signals and not (handler.filtered or handler.background):
                count_key = SIGNALS_TOTAL, task_name(task), signal
            else:
                listeners.append(wrap_handler(handler))
        if len(cache) >= _MAX_KINDS:  # a process that makes classes of tasks without end
            cache.clear()
        route = cache[key] = tuple(listeners), count_key
        return route

    def _receive(
        self, signal: str, task: Any, exception: Any = None, /, *others: object, **named: object
    ) -> None:
        verdict = None
        raised = exception
        # A subclass of Huey may pass further arguments.
        if others or named or not (raised is None or isinstance(raised, BaseException)):
            raised = passed_exception(signal, (exception, *others, *named.values()))
        if raised is None and signal in EXCEPTION_NOT_PASSED:
            raised = caught_by_huey(signal)
        try:
            is_lock_error = self._is_lock_error(raised) if signal == SIGNAL_ERROR else None
            key = (signal, type(task), is_lock_error)
            listeners, count_key = self._routes.get(key) or self._route(signal, task, is_lock_error)
            if count_key is not None:
                self._pending.append(count_key)
            announcement = _ANNOUNCEMENTS.get(signal)
            if announcement is not None and not announcement.receivers:
                announcement = None
            # Hot path of every real error: mostly no handler is left that needs an event.
            if listeners or announcement:
                timing = timing_on_stack(task) if signal in AFTER_EXCEPT_BLOCK else None
                event = Event(signal, task, self._huey, raised, timing, self._context)
                event._is_lock_error, event._signal_counted = is_lock_error, count_key is not None
                verdict = run(listeners, event, self._reporter.handler_failed)
                if announcement and (signal == SIGNAL_REVOKED or event.is_lock_error):
                    self._reporter.announce(announcement, event=event)
            if len(self._pending) >= AGGREGATE_AT:
                self._counter.aggregate_if_large()
            # The first signal in a process, such as in a forked child.
            if scheduler.thread is None and scheduler.jobs:
                scheduler.start()
        except Exception as exc:
            self._reporter.kit_failed(f"on {signal}", exc)
        finally:
            if raised is not None and signal in FAILURE_SIGNALS:
                self.attach(task, raised, verdict)
