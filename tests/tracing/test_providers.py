"""Tracer providers: one that is set later, none, one that is not the SDK's; and many threads."""

from __future__ import annotations

import subprocess
import sys
import threading
from importlib.metadata import entry_points

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NoOpTracerProvider

from huey_signals_kit.integrations.opentelemetry import HueyInstrumentor, _tracer, trace_id
from huey_signals_kit.integrations.opentelemetry._tracer import HueyTracer
from tests.support import run_all
from tests.tracing.conftest import Traced
from tests.tracing.spans import tree


def test_opentelemetry_instrument_finds_the_instrumentor():
    """By its entry point."""
    (found,) = entry_points(group="opentelemetry_instrumentor", name="huey")
    assert found.load() is HueyInstrumentor


@pytest.mark.parametrize(("value", "carries"), [("1", True), ("0", False)])
def test_the_environment_chooses_what_opentelemetry_instrument_cannot(
    make_huey, monkeypatch, value, carries
):
    """`HUEY_SIGNALS_PROPAGATE` puts a header into messages."""
    monkeypatch.setenv("HUEY_SIGNALS_PROPAGATE", value)
    huey = make_huey()
    HueyInstrumentor().instrument(tracer_provider=Traced(None).provider)
    try:
        huey.task(name="add")(lambda: 1)()
    finally:
        HueyInstrumentor().uninstrument()
    (message,) = huey.storage.enqueued_items()
    assert (b"traceparent" in message) == carries


SET_LATER = """
from huey import MemoryHuey
from opentelemetry import trace
from huey_signals_kit.integrations.opentelemetry import HueyInstrumentor

HueyInstrumentor().instrument()
huey = MemoryHuey("shop")
add = huey.task(name="add")(lambda: None)
add()
huey.execute(huey.dequeue())

from tests.tracing.conftest import Traced
traced = Traced(None)
trace.set_tracer_provider(traced.provider)
add()
huey.execute(huey.dequeue())
print(*[span["name"] for span in traced.spans], sep=", ")
"""


def test_the_global_provider_may_be_set_later():
    """Until then there are no spans."""
    ran = subprocess.run([sys.executable, "-c", SET_LATER], capture_output=True, text=True)
    assert ran.stdout == "send __main__.add, process __main__.add\n", ran.stderr


@pytest.mark.parametrize("make_provider", [NoOpTracerProvider, TracerProvider])
def test_a_provider_that_makes_no_spans_costs_no_task(
    make_huey, make_provider, monkeypatch, caplog
):
    """OpenTelemetry can be switched off with `OTEL_SDK_DISABLED`; the log says nothing then."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    huey = make_huey()
    HueyInstrumentor().instrument(tracer_provider=make_provider())
    try:
        result = huey.task(name="add")(lambda: 1)()
        run_all(huey)
    finally:
        HueyInstrumentor().uninstrument()
    assert result() == 1
    assert "huey_signals_kit" not in {record.name for record in caplog.records}


class ForeignTracer(trace.Tracer):
    """A tracer of another library, which chooses ids by itself."""

    def __init__(self, inner):
        self._inner = inner

    def start_span(self, *args, **options):
        return self._inner.start_span(*args, **options)

    def start_as_current_span(self, *args, **options):
        return self._inner.start_as_current_span(*args, **options)


class ForeignProvider(trace.TracerProvider):
    """The provider of such tracers."""

    def __init__(self, inner):
        self._inner = inner

    def get_tracer(self, *args, **options):
        return ForeignTracer(self._inner.get_tracer(*args, **options))


@pytest.mark.parametrize("propagate", [False, True])
def test_with_a_foreign_tracer_only_the_header_leads_to_another_process(
    make_huey, caplog, propagate
):
    """No link leads to an id that no span has; without the header the log says so."""
    traced, huey = Traced(None), make_huey()
    provider = ForeignProvider(traced.provider)
    HueyInstrumentor().instrument(tracer_provider=provider, propagate=propagate)
    try:
        add = huey.task(name="add")(lambda: 1)
        with traced.tracer.start_as_current_span("request"):
            add()
        run_all(huey)
    finally:
        HueyInstrumentor().uninstrument()
    assert tree(traced.spans) == {
        "request": (None, set()),
        "send add 1": ("request", set()),
        "process add 1": ("send add 1" if propagate else None, set()),
    }
    assert caplog.text.count("ForeignTracer") == (0 if propagate else 1)


def test_threads_do_not_mix_ids(instrument, make_huey):
    """Each span is in the trace of its own task, whatever other threads start meanwhile."""
    traced, huey = instrument(), make_huey()
    inner = huey.task(name="inner")(lambda: 1)

    @huey.task()
    def outer():
        inner()

    for _ in range(100):
        outer()

    def work():
        while (task := huey.dequeue()) is not None:
            huey.execute(task)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run_all(huey)
    assert len(traced.spans) == 400
    for span in traced.spans:
        assert span["trace"] == trace_id(span["attributes"]["messaging.message.id"])
    ids = {(span["trace"], span["id"]) for span in traced.spans}
    assert len(ids) == 400


def test_uninstrumenting_gives_the_tracer_its_own_ids_back(instrument):
    """Nothing of the instrumentation is left in the provider."""
    traced = instrument()
    tracer = HueyInstrumentor()._tracer.get()
    assert tracer.id_generator is not traced.provider.id_generator
    HueyInstrumentor().uninstrument()
    assert tracer.id_generator is traced.provider.id_generator


class BlockedProvider(NoOpTracerProvider):
    """A provider whose `force_flush` does not keep to its time."""

    def __init__(self):
        self.is_flushing = threading.Event()
        self.released = threading.Event()

    def force_flush(self, timeout_millis):
        self.is_flushing.set()
        self.released.wait(60)


def test_a_worker_does_not_wait_for_an_exporter_that_hangs(monkeypatch, caplog):
    """The flush at the end has a deadline, and a warning says that spans may be lost."""
    monkeypatch.setattr(_tracer, "_FLUSH_SECONDS", 0.05)
    provider = BlockedProvider()
    flush = threading.Thread(target=HueyTracer(provider, False)._flush, daemon=True)
    flush.start()
    flush.join(10)
    has_ended = not flush.is_alive()
    provider.released.set()
    assert has_ended
    assert provider.is_flushing.is_set()
    assert "last spans takes longer than 0.05 s" in caplog.text


@pytest.mark.parametrize(("answer", "warnings"), [(True, 0), (None, 0), (False, 1)])
def test_an_exporter_that_was_not_in_time_is_in_the_log(answer, warnings, caplog):
    """Older SDKs keep the deadline by themselves, and return False."""
    provider = NoOpTracerProvider()
    provider.force_flush = lambda timeout_millis: answer
    HueyTracer(provider, False)._flush()
    assert caplog.text.count("last spans takes longer than") == warnings
