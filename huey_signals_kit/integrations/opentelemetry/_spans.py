"""The two kinds of spans: of a producer and of a consumer."""

from __future__ import annotations

from typing import Any

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, SpanContext, SpanKind, set_span_in_context

from ..._lock_errors import LockErrors
from ...huey_internals.django_tasks import task_name
from ...runtime.per_huey import attached_kit
from ._attempt import Attempt, current_attempt, record_error
from ._header import Carrier, carrier_of, reset_outgoing_carrier, set_outgoing_carrier
from ._ids import PROCESS, SCHEDULE, SEND, SpanIds
from ._tracer import HueyTracer

_DEFAULT_LOCK_ERRORS = LockErrors()


class ProducerSpan:
    """The span of a task that is put into the queue or the schedule.

    Without a tracer, `span` is None.

    Args:
        tracer: Starts the span.
        huey: The Huey.
        task: The task.
        role: `SEND` or `SCHEDULE`; None if that depends on the task's time.
        propagates: Whether the message carries the context of the span.
    """

    __slots__ = ("_context_token", "_header_token", "carrier", "span", "state")

    def __init__(
        self, tracer: HueyTracer, huey: Any, task: Any, role: str | None, propagates: bool
    ) -> None:
        self.span: trace.Span | None = None
        self.carrier: Carrier | None = None
        self._header_token: Any = None
        otel_tracer = tracer.get()
        if otel_tracer is None:
            return
        ids, role = SpanIds(task), role or role_of(huey, task)
        self.state = ids.state
        context = contexts.get_current()
        caller = trace.get_current_span(context)
        caller_context = caller.get_span_context()
        links: list[Link] = []
        has_foreign_caller = False  # the caller's span is of another trace
        if propagates:
            if not caller_context.is_valid:
                context = _extract(tracer, carrier_of(task), context) or context
        elif (
            tracer.has_derived_ids
            and caller_context.is_valid
            and caller_context.trace_id != ids.trace_id
        ):
            context = set_span_in_context(INVALID_SPAN, context)
            has_foreign_caller = True
        if not propagates and tracer.has_derived_ids:
            links.append(Link(ids.context(PROCESS)))
            if role == SEND and task.eta:
                links.append(Link(ids.context(SCHEDULE)))
        if has_foreign_caller and caller_context.trace_flags.sampled:
            links.append(Link(caller_context))
        name = task_name(task)
        self.span = tracer.start(
            otel_tracer,
            f"{role} {name}",
            SpanKind.PRODUCER,
            context,
            _attributes(huey, task, name, role, "send"),
            links,
            None if propagates and _has_span(context) else ids,
            role,
        )
        if has_foreign_caller and self.span.is_recording():
            _add_link(caller, self.span.get_span_context())
        context = set_span_in_context(self.span, context)
        if propagates:
            self.carrier = _inject(tracer, context)
        if self.carrier is not None:
            self._header_token = set_outgoing_carrier(task, self.carrier)
        self._context_token = contexts.attach(context)

    def end(self, error: BaseException | None) -> None:
        """End the span.

        Args:
            error: What the call to Huey raised, or None.
        """
        if self.span is None:
            return
        contexts.detach(self._context_token)
        if self._header_token is not None:
            reset_outgoing_carrier(self._header_token)
        try:
            if error is not None:
                record_error(self.span, error, "")
        finally:
            self.span.end()


class ConsumerSpan:
    """The span of an attempt, which is current while the task runs.

    Without a tracer, `attempt` is None.

    Args:
        tracer: Starts the span.
        huey: The Huey.
        task: The task.
        propagates: Whether messages of the Huey carry contexts.
    """

    __slots__ = ("_attempt_token", "_context_token", "_huey", "_links_to_callback", "attempt")

    def __init__(self, tracer: HueyTracer, huey: Any, task: Any, propagates: bool) -> None:
        self.attempt: Attempt | None = None
        self._huey = huey
        otel_tracer = tracer.get()
        if otel_tracer is None:
            return
        ids, context = SpanIds(task), contexts.get_current()
        caller_context = trace.get_current_span(context).get_span_context()
        sent = _extract(tracer, carrier_of(task), context)
        links: list[Link] = []
        self._links_to_callback = tracer.has_derived_ids and not propagates
        runs_in_caller = caller_context.is_valid and huey.immediate
        if sent is not None:
            context = sent
        elif not runs_in_caller:
            if caller_context.is_valid:
                context = set_span_in_context(INVALID_SPAN, context)
            if tracer.has_derived_ids:
                links.append(Link(ids.context(SEND)))
                if task.eta:
                    links.append(Link(ids.context(SCHEDULE)))
            if caller_context.is_valid and caller_context.trace_flags.sampled:
                links.append(Link(caller_context))
        name = task_name(task)
        span = tracer.start(
            otel_tracer,
            f"{PROCESS} {name}",
            SpanKind.CONSUMER,
            context,
            _attributes(huey, task, name, PROCESS, PROCESS),
            links,
            None if sent is not None and _has_span(sent) else ids,
            PROCESS,
        )
        kit = attached_kit(huey)
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
                target = SpanIds(chord.callback).context(role)
                # The part that ended last has sent the callback, and so has a link to that span.
                links = getattr(attempt.span, "links", ())
                if all(link.context.span_id != target.span_id for link in links):
                    _add_link(attempt.span, target)
        finally:
            attempt.span.end()


def role_of(huey: Any, task: Any) -> str:
    """Return `SEND` if a task that is enqueued now can run, else `SCHEDULE`."""
    return SEND if huey.ready_to_run(task) else SCHEDULE


def _attributes(huey: Any, task: Any, name: str, operation: str, kind: str) -> dict[str, Any]:
    """Return the attributes of a span, by the semantic conventions for messaging.

    There are few attributes, because each adds a tenth to the cost of a span.

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


def _has_span(context: Context) -> bool:
    return trace.get_current_span(context).get_span_context().is_valid


def _inject(tracer: HueyTracer, context: Context) -> Carrier | None:
    """Return a carrier with `context`; None if the propagator raises."""
    carrier: Carrier = {}
    try:
        propagate.inject(carrier, context)
    except Exception as exc:
        tracer.report(exc)
        return None
    return carrier


def _extract(tracer: HueyTracer, carrier: Carrier | None, context: Context) -> Context | None:
    """Return the context in `carrier`; None if there is no carrier or the propagator raises."""
    if carrier is None:
        return None
    try:
        return propagate.extract(carrier, context)
    except Exception as exc:
        tracer.report(exc)
        return None


def _add_link(span: trace.Span, target: SpanContext) -> None:
    if span.is_recording() and hasattr(span, "add_link"):
        span.add_link(target)
