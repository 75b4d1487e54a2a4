"""An instrumented Huey whose spans are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from huey_signals_kit.integrations.opentelemetry import HueyInstrumentor
from tests.tracing.spans import FileExporter, Record, record_of


class Traced:
    """The spans of one test; `tracer` is the application's own.

    Args:
        path: Where the spans are written to, by default nowhere.
        options: Those of the tracer provider.
    """

    def __init__(self, path: Path | None, **options: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**options)
        exporter = FileExporter(path) if path else self._exporter
        self.provider.add_span_processor(SimpleSpanProcessor(exporter))
        self.tracer = self.provider.get_tracer("application")

    @property
    def spans(self) -> list[Record]:
        """The finished spans, in the order in which they ended."""
        return [record_of(span) for span in self._exporter.get_finished_spans()]

    def span(self, name: str) -> Record:
        """The one span whose name has this beginning."""
        (found,) = [span for span in self.spans if span["name"].startswith(name)]
        return found


@pytest.fixture
def instrument() -> Iterator[Callable[..., Traced]]:
    """`instrument(propagate=False, path=None, **options)`: instruments Huey; see `Traced`."""

    def instrument(propagate: bool = False, path: Path | None = None, **options: Any) -> Traced:
        traced = Traced(path, **options)
        HueyInstrumentor().instrument(tracer_provider=traced.provider, propagate=propagate)
        return traced

    yield instrument
    if HueyInstrumentor().is_instrumented_by_opentelemetry:
        HueyInstrumentor().uninstrument()
