"""Traces of tasks, by OpenTelemetry: a span for each enqueue and one for each attempt."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

from ...huey_internals.class_patch import ClassPatch
from ._ids import trace_id_of
from ._tracer import HueyTracer
from ._tracing import Tracing

__all__ = ["HueyInstrumentor", "trace_id"]

PROPAGATE = "HUEY_SIGNALS_PROPAGATE"
"""The environment variable that sets ``propagate`` under ``opentelemetry-instrument``."""


class HueyInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """The OpenTelemetry instrumentor of Huey."""

    _tracer: HueyTracer | None = None
    _patch = ClassPatch()

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the packages that must be installed."""
        return ("huey >= 2.5",)

    def _instrument(self, **options: Any) -> None:
        propagates = options.get("propagate")
        if propagates is None:
            propagates = os.environ.get(PROPAGATE, "").lower() in ("1", "true", "yes")
        self._tracer = HueyTracer(options.get("tracer_provider"))
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
