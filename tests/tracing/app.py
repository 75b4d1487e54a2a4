"""The application of a real consumer whose processes write their spans to a file."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from huey.api import Huey

if os.environ.get("HUEY_KIT_TEST_WORKER") == "greenlet":
    # Huey leaves this to the application: first of all, before anything opens a socket.
    from gevent import monkey

    monkey.patch_all()

from tests.support import Place


def declare(huey: Huey) -> SimpleNamespace:
    """Declare the tasks on a Huey."""

    @huey.task()
    def plain() -> int:
        return 1

    @huey.task(retries=1, retry_delay=0.1, context=True)
    def retried(task: Any) -> None:
        if task.retries:
            raise ValueError("broken")

    @huey.task()
    def first() -> int:
        return 1

    @huey.task()
    def second(before: int) -> int:
        return before + 1

    @huey.task()
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @huey.task()
    def later() -> None: ...

    @huey.task(lock_errors="drop")
    @huey.lock_task("held")
    def locked() -> None: ...

    @huey.task()
    @huey.lock_task("held")
    def rescheduled() -> None: ...

    @huey.task()
    def revoked() -> None: ...

    @huey.task()
    def done() -> bool:
        return True

    @huey.task()
    def forever(folder: str) -> None:
        Path(folder, "started").write_text(str(os.getpid()))
        time.sleep(600)

    if hasattr(huey, "_timeout_handler"):

        @huey.task(timeout=0.2, context=True)
        def slow(task: Any) -> None:
            while True:
                time.sleep(0.02)
                task.check_timeout()

    return SimpleNamespace(**{name: each for name, each in locals().items() if name != "huey"})


def build() -> Huey:
    """Return the consumer's Huey, as the environment describes it, instrumented."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    from huey_signals_kit import Registry, install_handlers
    from huey_signals_kit.handlers.reschedule import RescheduleLocked
    from huey_signals_kit.integrations.opentelemetry import HueyInstrumentor
    from tests.tracing.spans import FileExporter

    provider = TracerProvider()
    exporter = FileExporter(Path(os.environ["HUEY_KIT_TEST_SPANS"]))
    if os.environ.get("HUEY_KIT_TEST_BATCH") == "hangs":
        exporter.export = lambda spans: time.sleep(600)  # type: ignore[method-assign]
    if os.environ.get("HUEY_KIT_TEST_BATCH"):
        # In the time of a test, it exports only when it is told to.
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=3_600_000))
    else:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    HueyInstrumentor().instrument(tracer_provider=provider)
    place = Place(*(os.environ[f"HUEY_KIT_TEST_{part}"] for part in ("KIND", "LOCATION", "NAME")))
    huey = place.open()
    declare(huey)
    registry = Registry()
    registry.add(RescheduleLocked(delay=0.2, backoff=1), "locked", "error", "retrying")
    install_handlers(huey, preset=registry)
    return huey


if "HUEY_KIT_TEST_KIND" in os.environ:
    huey = build()
