"""What is measured: one Huey, bare or with the kit, and tasks that are ready to be executed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from huey.api import Huey
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from huey_signals_kit import get_kit, install_handlers
from huey_signals_kit.integrations.opentelemetry import HueyInstrumentor

BARE, KIT, ROUTES, BACKGROUND, MANY = "bare", "kit", "routes", "background", "many"
OVERRIDDEN, KIT_OVERRIDDEN = "overridden", "kit-overridden"
TRACED, NO_LONGER_TRACED = "traced", "no-longer-traced"
LOCK = "held"
DEQUEUED = frozenset({"taking", "entering"})
"""The kinds of task that are measured from the queue on: who holds a lock is noted there."""
WHOLE = "enqueued and ordinary"
"""An ordinary task that is measured from its call on."""


def _install(huey: Huey) -> None:
    install_handlers(huey, preset="quiet-locks")


def _install_routes(huey: Huey) -> None:
    """Everything that an ordinary task may meet: sinks, durations, breadcrumbs."""
    from prometheus_client import CollectorRegistry

    from huey_signals_kit.sinks.prometheus import PrometheusSink

    sinks = ["memory", PrometheusSink(CollectorRegistry())]
    install_handlers(huey, preset="quiet-locks", sinks=sinks, sentry=True)


def _install_background(huey: Huey) -> None:
    """A handler that takes a second for every event."""
    kit = install_handlers(huey, preset="quiet-locks")
    kit.on("locked", background=True)(lambda event: time.sleep(1))


def _install_many(huey: Huey) -> None:
    """200 handlers of errors, of which one matches the failing task."""
    kit = install_handlers(huey, preset="quiet-locks")
    for number in range(199):
        kit.on("error", tasks=f"shop.tasks.other_{number}")(lambda event: None)
    kit.on("error", tasks="*.failing")(lambda event: None)


def _override(huey: Huey) -> None:
    """A class of the user's, as Huey's documentation has it: a field more in each error."""

    class Mine(type(huey)):  # type: ignore[misc]
        def build_error_result(self, task: Any, exception: BaseException) -> dict[str, Any]:
            return {**super().build_error_result(task, exception), "args": repr(task.args)}

    huey.__class__ = Mine


def _install_over_an_override(huey: Huey) -> None:
    _override(huey)
    _install(huey)


def _instrument_and_undo(huey: Huey) -> None:
    _instrument()
    HueyInstrumentor().uninstrument()


class _Discard(SpanExporter):
    """An exporter that costs nothing."""

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


@cache
def _tracer_provider() -> TracerProvider:
    """OpenTelemetry as applications set it up: spans are exported by a thread."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_Discard()))
    return provider


def _instrument() -> None:
    HueyInstrumentor().instrument(tracer_provider=_tracer_provider())


_INSTALL: dict[str, Callable[[Huey], None]] = {
    BARE: lambda huey: None,
    KIT: _install,
    ROUTES: _install_routes,
    BACKGROUND: _install_background,
    MANY: _install_many,
    OVERRIDDEN: _override,
    KIT_OVERRIDDEN: _install_over_an_override,
    TRACED: lambda huey: None,
    NO_LONGER_TRACED: _instrument_and_undo,
}


class Subject:
    """A Huey with an ordinary, a locked and a revoked kind of task."""

    def __init__(self, huey: Huey, side: str) -> None:
        self.huey = huey
        self._is_traced = side == TRACED
        _INSTALL[side](huey)

        @huey.task()
        def ordinary() -> int:
            return 1

        @huey.task()
        def failing() -> None:
            raise ValueError("the card was refused")

        @huey.task()
        def locked() -> None:
            with huey.lock_task(LOCK):
                raise AssertionError("the lock is free")

        @huey.task()
        @huey.lock_task("decorated")
        def taking() -> int:
            return 1

        @huey.task()
        def entering() -> int:
            with huey.lock_task("entered"):
                return 1

        @huey.task()
        def revoked() -> None:
            raise AssertionError("the token is gone")

        self._tasks = {
            "ordinary": ordinary,
            "failing": failing,
            "locked": locked,
            "revoked": revoked,
            "taking": taking,
            "entering": entering,
        }

    def prepare(self, kind: str, count: int) -> list[Any]:
        """Empty the store, and take *count* tasks from the queue that a worker would execute."""
        self.huey.flush()
        self.huey.lock_task(LOCK).__enter__()
        for _ in range(0 if kind == WHOLE else count):
            result = self._tasks[kind]()
            if kind == "revoked":
                self.huey.revoke_by_id(result.id)
        self.add_up()
        if kind in DEQUEUED:
            return [None] * count
        if kind == WHOLE:
            self.huey.flush()
            return [self._tasks["ordinary"].s() for _ in range(count)]
        storage = self.huey.storage  # a worker has one in hand, and not all of them
        return [self.huey.deserialize_task(storage.dequeue()) for _ in range(count)]

    def run(self, tasks: list[Any], kind: str = "") -> None:
        """Execute *tasks*, leaving the list empty; this alone is measured."""
        execute, dequeue, enqueue = self.huey.execute, self.huey.dequeue, self.huey.enqueue
        if kind == WHOLE:
            while tasks:
                enqueue(tasks.pop())
                execute(dequeue())
        while tasks:
            execute(tasks.pop() or dequeue())

    @contextmanager
    def switched_on(self) -> Iterator[None]:
        """Have what reaches every Huey of the process reach only this one."""
        if not self._is_traced:
            yield
            return
        _instrument()
        yield
        HueyInstrumentor().uninstrument()

    def add_up(self) -> None:
        """What the kit has put off until somebody asks, or until the tick."""
        kit = get_kit(self.huey)
        if kit is not None:
            kit.count("huey_task_duration_seconds")

    def close(self) -> None:
        """Leave nothing in the store."""
        self.huey.flush()
        self.huey.storage.close()


def silence_huey() -> None:
    """Turn Huey's logging off, in this process."""
    logging.getLogger("huey").setLevel(logging.CRITICAL + 1)
