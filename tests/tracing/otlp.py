"""A receiver of OTLP over HTTP, which decodes the spans and the names of the metrics."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.tracing.spans import Record


class Receiver:
    """The spans that have arrived, as records of `tests.tracing.spans`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Record] = []
        self.metrics: set[str] = set()

    def receive(self, path: str, body: bytes) -> None:
        """Decode a request."""
        if path == "/v1/metrics":
            resources = ExportMetricsServiceRequest.FromString(body).resource_metrics
            scopes = [scope for resource in resources for scope in resource.scope_metrics]
            self.metrics.update(metric.name for scope in scopes for metric in scope.metrics)
            return
        assert path == "/v1/traces", path
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _attributes(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self.spans += [{**_record(span), "service": service} for span in scope.spans]


@contextmanager
def otlp_receiver() -> Iterator[Receiver]:
    """A receiver on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.receive(self.path, body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield receiver
        server.shutdown()


def _record(span: Any) -> Record:
    trace = span.trace_id.hex()
    return {
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        "trace": trace,
        "id": span.span_id.hex(),
        "parent": [trace, span.parent_span_id.hex()] if span.parent_span_id else None,
        "links": [[link.trace_id.hex(), link.span_id.hex()] for link in span.links],
        "attributes": _attributes(span.attributes),
    }


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
