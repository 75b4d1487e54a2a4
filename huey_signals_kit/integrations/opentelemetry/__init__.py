"""Traces of tasks, by OpenTelemetry: a span for each enqueue and one for each attempt.

``opentelemetry-instrument`` finds the instrumentor by itself; in code it is
``HueyInstrumentor().instrument()``. It works with an installed kit and without.

The spans of a task:

- ``send NAME`` (PRODUCER): the task is put into the queue, by the application, by Huey's scheduler,
  by an attempt that is retried, as the next stage of a pipeline, or as the callback of a chord.
- ``schedule NAME`` (PRODUCER): the task is scheduled, or enqueued with a time to wait for.
- ``process NAME`` (CONSUMER): an attempt. The span is current while the task runs.

By default nothing is added to messages. What is guaranteed then, with OpenTelemetry's SDK:

- All spans of a task are in one trace. Its id is a hash of the task's id, see `trace_id`.
- The id of each span is a hash of its kind and of what the message says: the task's id, the retries
  that are left, the time for which the task is scheduled. So an attempt links to the spans that
  sent and scheduled its message, and they link to the attempt, although the processes do not
  communicate. The span that was current when the task was enqueued (a request, an earlier stage
  of a pipeline) and the span of the enqueue link to each other. Each part of a chord that runs
  to its last stage links to the enqueue of the callback.
- No span has a parent in another process, so no parent is missing if a process is killed, is not
  instrumented or drops its spans. Spans that a killed task has already ended lack their parent.
- The sampler decides for each span without a parent. A decision by trace id, such as
  ``TraceIdRatioBased``, is the same for all spans of a task, in all processes. The
  decision for the caller's trace is separate.

Where the ids do not suffice: if a message is enqueued again unchanged (``RetryTask`` without a
delay, the same task object twice), its spans have the ids of the earlier ones; a process that
still knows the earlier ones (it keeps 4,096 ids) gives the later ones random span ids. So it is
with the error callback of a task with retries (``.error(...)``): Huey enqueues the same callback
after each attempt that fails, and if these attempts run in different processes, two spans may have
the same ids. Tasks that get the same ``id=`` again share a trace.
A scheduled task that a worker gets after its time is not sent again, so one of the attempt's links
leads nowhere. So does a link of a scheduled task that is retried without a delay, which keeps its
old time, and each link to a span that was not exported.

With ``propagate=True`` messages carry a header (W3C trace context and baggage, by the propagator
that is set), and everything is one trace: caller, send, process, retry, next stage. The header is
read and written by processes that have set it too. Others run such messages, and drop the header
when they put a task back; the spans after that are in the trace of the task's id. Only Huey's own
`Serializer` and `SignedSerializer` carry a header. With another one a warning is logged when the
Huey is first used, and its spans are those of the default. A header of more than 8 KiB, as by much
baggage, is left out; the attempt is then in the trace of the task's id.

A tracer that is not the SDK's chooses ids by itself, so without ``propagate=True`` the spans of
different processes are not linked, and a warning is logged.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

try:
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
except ImportError as exc:
    raise ImportError(
        f"traces need the package opentelemetry-instrumentation, which cannot be imported ({exc}): "
        "pip install 'huey-signals-kit[opentelemetry]'"
    ) from exc

from ...huey_internals.class_patch import ClassPatch
from ._ids import trace_id_of
from ._tracer import HueyTracer
from ._tracing import Tracing

__all__ = ["HueyInstrumentor", "trace_id"]

PROPAGATE = "HUEY_SIGNALS_PROPAGATE"
"""The environment variable that sets ``propagate`` under ``opentelemetry-instrument``."""


class HueyInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """The OpenTelemetry instrumentor of Huey, for every Huey of the process.

    ``instrument(tracer_provider=None, propagate=None)`` takes a tracer provider, by default the
    global one, and whether messages carry a header, by default what the environment variable
    ``HUEY_SIGNALS_PROPAGATE`` says ("1"). ``uninstrument()`` leaves Huey as it was.
    """

    _tracer: HueyTracer | None = None
    _patch = ClassPatch()

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the packages that must be installed."""
        return ("huey >= 2.5",)

    def _instrument(self, **options: Any) -> None:
        propagates = options.get("propagate")
        if propagates is None:
            propagates = os.environ.get(PROPAGATE, "").lower() in ("1", "true", "yes")
        self._tracer = HueyTracer(options.get("tracer_provider"), bool(propagates))
        Tracing(self._tracer, bool(propagates), self._patch)

    def _uninstrument(self, **options: Any) -> None:
        self._patch.remove()
        if self._tracer is not None:
            self._tracer.close()
            self._tracer = None


def trace_id(task_id: str) -> str:
    """Return the id of the trace that has the spans of a task, as 32 hex digits.

    Args:
        task_id: The id of the task.
    """
    return f"{trace_id_of(task_id):032x}"
