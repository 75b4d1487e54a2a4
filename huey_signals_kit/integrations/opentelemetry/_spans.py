"""The two kinds of spans: of a producer and of a consumer."""

from __future__ import annotations

from typing import Any

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, SpanContext, SpanKind, set_span_in_context

from ..._lock_errors import LockErrors
from ...huey_internals.django_tasks import task_name
from ._attempt import Attempt, current_attempt, record_error
from ._header import Carrier, carrier_of, reset_outgoing_carrier, set_outgoing_carrier
from ._ids import PROCESS, SCHEDULE, SEND, SpanIds
from ._tracer import HueyTracer

_KIT = "_huey_signals_kit"
"""The attribute of a Huey that has its kit."""

_DEFAULT_LOCK_ERRORS = LockErrors()


class ProducerSpan:
    """The span of a task that is put into the queue or the schedule; None if there is no tracer.

    Args:
        spans: Starts the span.
        huey: The Huey.
        task: The task.
        role: `SEND` or `SCHEDULE`; None if that depends on the task's time.
        carries: Whether the message carries the context of the span.
    """

    __slots__ = ("_context_token", "_header_token", "carrier", "span", "state")

    def __init__(
        self, spans: HueyTracer, huey: Any, task: Any, role: str | None, carries: bool
    ) -> None:
        self.span: trace.Span | None = None
        self.carrier: Carrier | None = None
        self._header_token: Any = None
        tracer = spans.get()
        if tracer is None:
            return
        ids, role = SpanIds(task), role or role_of(huey, task)
        self.state = ids.state
        context = contexts.get_current()
        caller = trace.get_current_span(context)
        around = caller.get_span_context()
        links: list[Link] = []
        is_caused = False  # by a span of another trace
        if carries:
            if not around.is_valid:
                context = _extract(carrier_of(task), context)
        elif spans.has_derived_ids and around.is_valid and around.trace_id != ids.trace_id:
            context = set_span_in_context(INVALID_SPAN, context)
            is_caused = True
        if not carries and spans.has_derived_ids:
            links.append(Link(ids.context(PROCESS)))
            if role == SEND and task.eta:
                links.append(Link(ids.context(SCHEDULE)))
        if is_caused and around.trace_flags.sampled:
            links.append(Link(around))
        name = task_name(task)
        self.span = spans.start(
            tracer,
            f"{role} {name}",
            SpanKind.PRODUCER,
            context,
            _attributes(huey, task, name, role, "send"),
            links,
            ids,
            role,
        )
        if is_caused and self.span.is_recording():
            _add_link(caller, self.span.get_span_context())
        context = set_span_in_context(self.span, context)
        if carries:
            self.carrier = {}
            propagate.inject(self.carrier, context)
            self._header_token = set_outgoing_carrier(task, self.carrier)
        self._context_token = contexts.attach(context)

    def end(self, error: BaseException | None) -> None:
        """End the span.

        Args:
            error: What the call to Huey raised, or None.
        """
        contexts.detach(self._context_token)
        if self._header_token is not None:
            reset_outgoing_carrier(self._header_token)
        if self.span is None:
            return
        try:
            if error is not None:
                record_error(self.span, error, "")
        finally:
            self.span.end()


class ConsumerSpan:
    """The span of an attempt, which is current while the task runs; None if there is no tracer.

    Args:
        spans: Starts the span.
        huey: The Huey.
        task: The task.
        carries: Whether messages of the Huey carry contexts.
    """

    __slots__ = ("_attempt_token", "_context_token", "_huey", "_links_to_callback", "attempt")

    def __init__(self, spans: HueyTracer, huey: Any, task: Any, carries: bool) -> None:
        self.attempt: Attempt | None = None
        self._huey = huey
        tracer = spans.get()
        if tracer is None:
            return
        ids, context = SpanIds(task), contexts.get_current()
        around = trace.get_current_span(context).get_span_context()
        carrier = carrier_of(task)
        links: list[Link] = []
        self._links_to_callback = spans.has_derived_ids and not carries
        is_inside = around.is_valid and huey.immediate
        if carrier is not None:
            context = _extract(carrier, context)
        elif not is_inside:
            if around.is_valid:
                context = set_span_in_context(INVALID_SPAN, context)
            if spans.has_derived_ids:
                links.append(Link(ids.context(SEND)))
                if task.eta:
                    links.append(Link(ids.context(SCHEDULE)))
            if around.is_valid and around.trace_flags.sampled:
                links.append(Link(around))
        name = task_name(task)
        span = spans.start(
            tracer,
            f"{PROCESS} {name}",
            SpanKind.CONSUMER,
            context,
            _attributes(huey, task, name, PROCESS, PROCESS),
            links,
            ids,
            PROCESS,
        )
        kit = getattr(huey, _KIT, None)
        lock_errors = _DEFAULT_LOCK_ERRORS if kit is None else kit._context.lock_errors
        self.attempt = Attempt(task, span, lock_errors)
        self._attempt_token = current_attempt.set(self.attempt)
        self._context_token = contexts.attach(set_span_in_context(span, context))

    def end(self, error: BaseException | None) -> None:
        """End the span.

        Args:
            error: What Huey raised, such as an error of the storage; or None.
        """
        attempt = self.attempt
        if attempt is None:
            return
        contexts.detach(self._context_token)
        current_attempt.reset(self._attempt_token)
        try:
            if error is not None and not attempt.has_failed:
                attempt.fail("", error)
            chord = getattr(attempt.task, "chord_config", None)
            if chord is not None and self._links_to_callback and not attempt.will_retry:
                role = role_of(self._huey, chord.callback)
                _add_link(attempt.span, SpanIds(chord.callback).context(role))
        finally:
            attempt.span.end()


def role_of(huey: Any, task: Any) -> str:
    """Return whether a task that is enqueued now can run, or has to wait for its time."""
    return SEND if huey.ready_to_run(task) else SCHEDULE


def _attributes(huey: Any, task: Any, name: str, operation: str, kind: str) -> dict[str, Any]:
    """Return the attributes of a span, by the semantic conventions for messaging.

    Few, because each costs a tenth of the span.

    Args:
        huey: The Huey.
        task: The task.
        name: The name of the task.
        operation: The name of the operation.
        kind: The type of the operation: ``"send"`` or ``"process"``.
    """
    attributes = {
        "messaging.system": "huey",
        "messaging.destination.name": huey.name,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.message.id": str(task.id),
        "code.function.name": name,
        "huey.attempt": max(1, (task.default_retries or 0) - int(task.retries or 0) + 1),
    }
    if task.eta:
        attributes["huey.eta"] = task.eta.isoformat()
    return attributes


def _extract(carrier: Carrier | None, context: Context) -> Context:
    return context if carrier is None else propagate.extract(carrier, context)


def _add_link(span: trace.Span, target: SpanContext) -> None:
    if span.is_recording() and hasattr(span, "add_link"):
        span.add_link(target)
