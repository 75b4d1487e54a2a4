"""The consumer's application, whose counts are scraped, exported or sent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

SINK = os.environ.get("HUEY_KIT_TEST_SINK")
OUTPUT = Path(os.environ.get("HUEY_KIT_TEST_OUTPUT", os.devnull))


def serve_prometheus() -> None:
    """Serve the default registry; the port goes to the output."""
    from prometheus_client import start_http_server

    server, _ = start_http_server(0, "127.0.0.1")
    OUTPUT.write_text(f"{server.server_port}\n")


def export_opentelemetry() -> None:
    """Have an SDK that exports when the process ends, and in the tests' time never else."""
    from opentelemetry.metrics import set_meter_provider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import (
        MetricExporter,
        MetricExportResult,
        MetricsData,
        PeriodicExportingMetricReader,
    )

    class ToFile(MetricExporter):
        def export(self, metrics_data: MetricsData, *_: Any, **__: Any) -> MetricExportResult:
            write({"pid": os.getpid(), "metrics": json.loads(metrics_data.to_json())})
            return MetricExportResult.SUCCESS

        def force_flush(self, timeout_millis: float = 0) -> bool:
            return True

        def shutdown(self, *_: Any, **__: Any) -> None: ...

    reader = PeriodicExportingMetricReader(ToFile(), export_interval_millis=3_600_000)
    set_meter_provider(MeterProvider([reader]))


def send_to_sentry() -> None:
    """Have a Sentry whose transport writes to the output."""
    import sentry_sdk
    from sentry_sdk.transport import Transport

    class ToFile(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            for item in envelope.items:
                if item.headers["type"] == "trace_metric":
                    write(item.payload.json["items"])

    sentry_sdk.init("http://k@127.0.0.1/1", transport=ToFile)


def write(record: Any) -> None:
    """Append a line to the output, whole, whichever process writes."""
    with OUTPUT.open("ab", buffering=0) as file:
        file.write(json.dumps(record).encode() + b"\n")


if SINK is not None:
    {
        "prometheus": serve_prometheus,
        "opentelemetry": export_opentelemetry,
        "sentry": send_to_sentry,
    }[SINK]()

    from tests.consumer.app import huey  # noqa: F401
