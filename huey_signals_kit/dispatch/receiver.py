"""Receives the signals of one Huey: makes an `Event` of each, and runs the handlers."""

from __future__ import annotations

from typing import Any, Protocol

from huey.signals import SIGNAL_ERROR, SIGNAL_REVOKED

from .. import signals as announcements
from ..event import Context, Event
from ..gate import Gate
from ..handlers.counts import count_signals
from ..huey_internals.facts import (
    ENDED_WITHOUT_EXCEPTION,
    FAILURE_SIGNALS,
    LOCK_SIGNALS,
    SIGNALS,
    WITHOUT_EXCEPTION,
    passed_exception,
)
from ..huey_internals.patch import SignalConnections
from ..huey_internals.stack import caught_by_huey, timing_on_stack
from ..metrics.counter import AGGREGATE_AT, MetricCounter
from ..runtime.scheduler import scheduler
from .handler import Handler, run, wrap_handler
from .reporter import Reporter

_MAX_KINDS = 10_000
"""Maximum number of kinds of events whose handlers are cached."""
_Key = tuple[str, "type | str", bool]
"""A signal, the class of a task or the name of a Django task, and whether the event is about an
error that is no lock error."""


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
        self._is_connected = False
        self._listeners: dict[_Key, tuple[Handler, ...]] = {}
        self.connections = SignalConnections(huey)

    def update(self, added: Handler | None) -> None:
        """Connect to the signals that the handlers listen to.

        Args:
            added: The handler that was added; None after any other change.
        """
        # Filled when signals arrive: until then, more handlers may be registered.
        self._is_connected, self._listeners = True, {}
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
        self._is_connected, self._listeners = False, {}

    def listeners(self, event: Event) -> tuple[Handler, ...]:
        """Return the handlers that listen to the signal of an event, in running order.

        Two kinds of handlers are left out, so that they cost nothing: handlers for other tasks,
        and, for a real error, handlers for lock errors only. The result is cached by task class;
        for Django's own tasks, which share a class, by name.

        Args:
            event: The event.
        """
        is_other_error = event._signal == SIGNAL_ERROR and not event.is_lock_error
        task_key = event._task_name if event._is_django_task else type(event._task)
        key = (event._signal, task_key, is_other_error)
        listeners = self._listeners.get(key)
        return self._find_listeners(event, key) if listeners is None else listeners

    def _find_listeners(self, event: Event, key: _Key) -> tuple[Handler, ...]:
        cache = self._listeners  # another thread may replace it meanwhile
        if not self._is_connected:
            return ()
        signal, _, is_other_error = key
        if len(cache) >= _MAX_KINDS:  # a process that makes classes of tasks without end
            cache.clear()
        listeners = cache[key] = tuple(
            wrap_handler(handler.without_task_filter())
            for handler in self._source.handlers
            if handler.listens_to(signal)
            and handler.function is not self._unneeded
            and (handler.tasks is None or handler.tasks(event.task))
            and not (is_other_error and handler.only_lock_errors)
        )
        return listeners

    def _receive(
        self, signal: str, task: Any, exception: Any = None, /, *others: object, **named: object
    ) -> None:
        verdict = None
        raised = exception
        # A subclass of Huey may pass further arguments.
        if others or named or not (raised is None or isinstance(raised, BaseException)):
            raised = passed_exception(signal, (exception, *others, *named.values()))
        if raised is None and signal in WITHOUT_EXCEPTION:
            raised = caught_by_huey(signal)
        try:
            timing = timing_on_stack(task) if signal in ENDED_WITHOUT_EXCEPTION else None
            event = Event(signal, task, self._huey, raised, timing, self._context)
            verdict = run(self.listeners(event), event, self._reporter.handler_failed)
            if len(self._pending) >= AGGREGATE_AT:
                self._counter.aggregate_if_large()
            # The first signal in a process, such as in a forked child.
            if scheduler.thread is None and scheduler.jobs:
                scheduler.start()
            if announcements.lock_skipped.receivers or announcements.task_revoked.receivers:
                self._announce(event)
        except Exception as exc:
            self._reporter.kit_failed(f"on {signal}", exc)
        finally:
            if raised is not None and signal in FAILURE_SIGNALS:
                self.attach(task, raised, verdict)

    def _announce(self, event: Event) -> None:
        if event.signal == SIGNAL_REVOKED:
            self._reporter.announce(announcements.task_revoked, event=event)
        elif event.signal in LOCK_SIGNALS and event.is_lock_error:
            self._reporter.announce(announcements.lock_skipped, event=event)
