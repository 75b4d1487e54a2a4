"""The spans of what Huey does with tasks: enqueue, schedule, execute."""

from __future__ import annotations

from typing import Any

from huey.api import Task
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from ...huey_internals.class_patch import ClassPatch, Replacement
from ...huey_internals.facts import current_time
from ._attempt import OUTCOMES, current_attempt
from ._header import Carrier, Headers, carrier_of, reset_outgoing_carrier, set_outgoing_carrier
from ._ids import SCHEDULE, SpanIds
from ._spans import ConsumerSpan, ProducerSpan
from ._tracer import HueyTracer


class Tracing:
    """The patches of Huey's classes that make spans.

    If the code of the instrumentation, the tracer or the propagator raises, the failure is logged,
    and Huey goes on without the span or the header.

    Args:
        tracer: Starts the spans.
        propagates: Whether messages carry the context of their producer's span.
        patch: Gets the patches.
    """

    def __init__(self, tracer: HueyTracer, propagates: bool, patch: ClassPatch) -> None:
        self._tracer = tracer
        self._headers = Headers(patch, tracer.report) if propagates else None
        patch.wrap("enqueue", self._enqueue)
        patch.wrap("schedule", self._add_schedule)
        patch.wrap("execute", self._execute)
        patch.wrap("send signal", self._send_signal)

    def _enqueue(
        self, original: Replacement, huey: Any, task: Any, *args: Any, **options: Any
    ) -> Any:
        # Groups and chords come back here with each of their tasks.
        if not isinstance(task, Task) or not is_instrumentation_enabled():
            return original(huey, task, *args, **options)
        return self._produce(None, original, huey, task, *args, **options)

    def _add_schedule(
        self, original: Replacement, huey: Any, task: Any, *args: Any, **options: Any
    ) -> Any:
        if not is_instrumentation_enabled():
            return original(huey, task, *args, **options)
        attempt = current_attempt.get()
        if attempt is None or attempt.task is not task:
            # A worker only passes the message on: it is too early to run the task.
            return self._schedule_with(carrier_of(task), original, huey, task, *args, **options)
        if attempt.scheduled is not None and attempt.scheduled[0] == SpanIds(task).state:
            # The kit tries again, because the answer of the storage was lost. The schedule of Redis
            # keeps one of two messages only if they are equal, the header included.
            carrier = attempt.scheduled[1]
            return self._schedule_with(carrier, original, huey, task, *args, **options)
        return self._produce(SCHEDULE, original, huey, task, *args, **options)

    def _schedule_with(
        self,
        carrier: Carrier | None,
        original: Replacement,
        huey: Any,
        task: Any,
        *args: Any,
        **options: Any,
    ) -> Any:
        """Schedule a task without a span of its own."""
        if carrier is None or self._headers is None:
            return original(huey, task, *args, **options)
        token = set_outgoing_carrier(task, carrier)
        try:
            return original(huey, task, *args, **options)
        finally:
            reset_outgoing_carrier(token)

    def _produce(
        self,
        role: str | None,
        original: Replacement,
        huey: Any,
        task: Any,
        *args: Any,
        **options: Any,
    ) -> Any:
        started = None
        try:
            started = ProducerSpan(self._tracer, huey, task, role, self._propagates(huey))
        except Exception as exc:
            self._tracer.report(exc)
        if started is None or started.span is None:
            return original(huey, task, *args, **options)
        attempt = current_attempt.get()
        if attempt is not None and attempt.task is task:
            attempt.scheduled = started.state, started.carrier
        error: BaseException | None = None
        try:
            return original(huey, task, *args, **options)
        except BaseException as exc:
            error = exc
            raise
        finally:
            try:
                started.end(error)
            except Exception as exc:
                self._tracer.report(exc)
            error = None  # else this frame and the traceback refer to each other

    def _execute(
        self,
        original: Replacement,
        huey: Any,
        task: Any,
        timestamp: Any = None,
        *args: Any,
        **options: Any,
    ) -> Any:
        consumer = None
        if is_instrumentation_enabled():
            if timestamp is None:
                timestamp = current_time(huey)
            try:
                if huey.ready_to_run(task, timestamp):
                    consumer = ConsumerSpan(self._tracer, huey, task, self._propagates(huey))
            except Exception as exc:
                self._tracer.report(exc)
        if consumer is None or consumer.attempt is None:
            return original(huey, task, timestamp, *args, **options)
        error: BaseException | None = None
        try:
            return original(huey, task, timestamp, *args, **options)
        except BaseException as exc:
            error = exc
            raise
        finally:
            try:
                consumer.end(error)
            except Exception as exc:
                self._tracer.report(exc)
            error = None  # else this frame and the traceback refer to each other

    def _send_signal(
        self,
        original: Replacement,
        sender: Any,
        signal: str,
        task: Any,
        *args: Any,
        **options: Any,
    ) -> Any:
        attempt = current_attempt.get() if signal in OUTCOMES else None
        if attempt is not None and attempt.task is task:
            try:
                attempt.on_signal(signal, (*args, *options.values()))
            except Exception as exc:
                self._tracer.report(exc)
        return original(sender, signal, task, *args, **options)

    def _propagates(self, huey: Any) -> bool:
        """Return whether messages of `huey` carry a context."""
        return self._headers is not None and self._headers.can_carry(huey)
