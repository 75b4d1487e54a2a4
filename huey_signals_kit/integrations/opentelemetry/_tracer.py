"""The tracer of the instrumentation, which starts spans with chosen ids."""

from __future__ import annotations

import logging
import multiprocessing.util
import threading
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind

from ...runtime.job import spawn
from ...runtime.log import RateLimitedErrors, log, log_error
from ._ids import DerivedIds, SpanIds, chosen_ids

_SCHEMA = "https://opentelemetry.io/schemas/1.37.0"
_FLUSH_SECONDS = 1.5
"""Seconds that a worker process that ends waits for the export of its last spans."""


class HueyTracer:
    """The tracer of one `HueyInstrumentor`.

    Args:
        provider: The tracer provider; None for the global one, which may be set later.
        propagates: Whether messages carry a header.
    """

    def __init__(self, provider: trace.TracerProvider | None, propagates: bool) -> None:
        self._provider = provider
        self._propagates = propagates
        self._version = version("huey-signals-kit")  # read now, not in the first task
        self._tracer: trace.Tracer | None = None
        self._generator_owner: Any = None
        """The object whose `id_generator` was replaced."""
        self._active = True
        self._errors = RateLimitedErrors()
        multiprocessing.util.register_after_fork(self, HueyTracer._flush_at_exit)

    def get(self) -> trace.Tracer | None:
        """Return the tracer; None as long as there is no provider that makes spans."""
        if self._tracer is None:
            provider = self._provider or trace.get_tracer_provider()
            if isinstance(provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider)):
                return None
            tracer = provider.get_tracer("huey_signals_kit", self._version, schema_url=_SCHEMA)
            if isinstance(tracer, trace.NoOpTracer):  # as with OTEL_SDK_DISABLED
                return None
            self._replace_generator(tracer)
            self._tracer = tracer
        return self._tracer

    @property
    def has_derived_ids(self) -> bool:
        """Whether spans get the ids that are chosen for them."""
        return self._generator_owner is not None

    def start(
        self,
        tracer: trace.Tracer,
        name: str,
        kind: SpanKind,
        parent: Context,
        attributes: dict[str, Any],
        links: Sequence[Link],
        ids: SpanIds | None,
        role: str,
    ) -> Span:
        """Start a span.

        Args:
            tracer: What `get` has returned.
            name: The span's name.
            kind: The span's kind.
            parent: The context with the parent; without a span for a root.
            attributes: The span's attributes.
            links: The span's links.
            ids: The ids of the task. A root gets the trace id, every span the span id. None if a
                header names the parent; the span id is then random, so that it is unique.
            role: `SEND`, `SCHEDULE` or `PROCESS`.
        """
        if ids is None:
            return tracer.start_span(name, parent, kind, attributes, links)
        token = chosen_ids.set((ids.trace_id, ids.span_id(role)))
        try:
            return tracer.start_span(name, parent, kind, attributes, links)
        finally:
            chosen_ids.reset(token)

    def report(self, exc: Exception) -> None:
        """Log that the code of the instrumentation, the tracer or the propagator raised `exc`."""
        self._errors.report("The tracing of tasks", "in a call of OpenTelemetry", exc)

    def close(self) -> None:
        """Give the tracer its own id generator back."""
        self._active = False
        owner = self._generator_owner
        if owner is not None and isinstance(owner.id_generator, DerivedIds):
            owner.id_generator = owner.id_generator.original

    def _replace_generator(self, tracer: Any) -> None:
        """Replace the id generator of the SDK's tracer, also of one inside of a wrapper."""
        owners: tuple[Any, ...] = (tracer, getattr(tracer, "tracer", None))
        for owner in owners:
            generator = getattr(owner, "id_generator", None)
            if generator is not None:
                if not isinstance(generator, DerivedIds):
                    owner.id_generator = DerivedIds(generator)
                self._generator_owner = owner
                return
        if self._propagates:
            return  # the headers link the spans of different processes
        log(
            logging.WARNING,
            "The tracer %s is not that of OpenTelemetry's SDK, so the ids of spans cannot be "
            "derived from tasks, and spans of different processes are not linked. To link them, "
            "call HueyInstrumentor().instrument(propagate=True).",
            type(tracer).__qualname__,
        )

    def _flush_at_exit(self) -> None:
        """Flush when a forked worker ends: a child of `multiprocessing` runs no ``atexit``."""
        if self._active:
            multiprocessing.util.Finalize(None, self._flush, exitpriority=0)

    def _flush(self) -> None:
        """Export the last spans, on another thread: newer SDKs' ``force_flush`` has no deadline."""
        flush = getattr(self._provider or trace.get_tracer_provider(), "force_flush", None)
        if not self._active or flush is None:
            return
        ended, is_in_time = threading.Event(), True

        def run() -> None:
            nonlocal is_in_time
            try:
                is_in_time = flush(int(_FLUSH_SECONDS * 1000)) is not False
            except Exception as exc:
                log_error("The export of this worker's last spans failed.", exc_info=exc)
            finally:
                ended.set()

        if spawn(run) is not None and not (ended.wait(_FLUSH_SECONDS) and is_in_time):
            log(
                logging.WARNING,
                "The export of this worker's last spans takes longer than %g s, so the worker ends "
                "without it, and the spans may be lost. Look at the exporter of OpenTelemetry and "
                "at the server to which it sends.",
                _FLUSH_SECONDS,
            )
