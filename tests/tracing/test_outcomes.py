"""Status and attributes of spans, by what became of the task."""

from __future__ import annotations

import gc
import weakref
from datetime import datetime, timedelta, timezone

import pytest
from huey import exceptions
from huey.api import Huey
from huey.registry import Registry
from huey.serializer import Serializer
from huey.signals import Signal
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import Span
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from huey_signals_kit import install_handlers
from huey_signals_kit.integrations.opentelemetry import HueyInstrumentor
from tests.support import hold, run_all
from tests.tracing.test_trees import failing


def process(traced):
    """The span of the one attempt."""
    return traced.span("process")


def test_the_attributes_follow_the_conventions_for_messaging(instrument, make_huey):
    """The names are those of version 1.37 of the semantic conventions."""
    traced, huey = instrument(), make_huey(name="shop")
    add = huey.task(name="add", retries=2)(lambda: 1)
    task_id = add().id
    run_all(huey)
    common = {
        "messaging.system": "huey",
        "messaging.destination.name": "shop",
        "messaging.message.id": task_id,
        "code.function.name": f"{__name__}.add",
        "huey.attempt": 1,
    }
    send, process = traced.spans
    assert send["attributes"] == {
        **common,
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
    }
    assert process["attributes"] == {
        **common,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
    }
    assert process["status"] == "UNSET"


@pytest.mark.parametrize("with_kit", [False, True])
def test_a_lock_skip_is_no_error(instrument, make_huey, with_kit):
    """It has the lock's name."""
    traced, huey = instrument(), make_huey()
    if with_kit:
        install_handlers(huey)
    hold(huey, "import")
    huey.task(name="add")(huey.lock_task("import")(lambda: 1))()
    run_all(huey)
    span = process(traced)
    assert span["attributes"]["huey.skipped"] == "locked"
    assert span["attributes"]["huey.lock"] == "import"
    assert (span["status"], span["exceptions"]) == ("UNSET", [])
    assert "error.type" not in span["attributes"]


def test_a_wrapped_lock_error_is_a_lock_skip(instrument, make_huey):
    """As the kit decides."""
    traced, huey = instrument(), make_huey()

    @huey.task()
    def add():
        try:
            raise exceptions.TaskLockedException("unable to acquire lock import")
        except exceptions.TaskLockedException as error:
            raise RuntimeError("busy") from error

    add()
    run_all(huey)
    assert process(traced)["attributes"]["huey.skipped"] == "locked"
    assert process(traced)["attributes"]["huey.lock"] == "import"
    assert process(traced)["status"] == "UNSET"


class Busy(Exception):
    """The application's own lock error."""


def test_the_lock_exceptions_of_the_kit_count(instrument, make_huey):
    """Those with which the kit was installed on the Huey."""
    traced, huey = instrument(), make_huey()
    install_handlers(huey, lock_exceptions=Busy)
    failing(huey, Busy())()
    run_all(huey)
    assert process(traced)["attributes"]["huey.skipped"] == "locked"


def test_an_error_is_recorded(instrument, make_huey):
    """With its type."""
    traced, huey = instrument(), make_huey()
    failing(huey, Busy("at work"))()
    run_all(huey)
    span = process(traced)
    assert span["status"] == "ERROR"
    assert [name.rpartition(".")[2] for name in span["exceptions"]] == ["Busy"]
    assert span["attributes"]["error.type"] == f"{__name__}.Busy"
    assert "huey.will_retry" not in span["attributes"]


def test_an_error_that_will_be_retried_says_so(instrument, make_huey):
    """Both attempts have their number."""
    traced, huey = instrument(), make_huey()
    failing(huey, ValueError("broken"), retries=1)()
    run_all(huey)
    first, second = (span for span in traced.spans if span["kind"] == "CONSUMER")
    assert first["status"] == "ERROR"
    assert first["attributes"]["huey.will_retry"] is True
    assert second["status"] == "UNSET"
    assert second["attributes"]["huey.attempt"] == 2


def test_a_revoked_task_is_skipped(instrument, make_huey):
    """It is no error."""
    traced, huey = instrument(), make_huey()
    huey.task(name="add")(lambda: 1)().revoke()
    run_all(huey)
    assert process(traced)["attributes"]["huey.skipped"] == "revoked"
    assert process(traced)["status"] == "UNSET"


def test_an_expired_task_is_skipped(instrument, make_huey):
    """It is no error."""
    traced, huey = instrument(), make_huey()
    huey.task(name="add", expires=60)(lambda: 1)()
    run_all(huey, now=datetime.now(timezone.utc).replace(tzinfo=None) + timedelta(days=1))
    assert process(traced)["attributes"]["huey.skipped"] == "expired"
    assert process(traced)["status"] == "UNSET"


def test_a_cancelled_task_is_skipped(instrument, make_huey):
    """By itself, or by a hook before it."""
    traced, huey = instrument(), make_huey()
    failing(huey, exceptions.CancelExecution())()
    run_all(huey)
    assert process(traced)["attributes"]["huey.skipped"] == "canceled"
    assert process(traced)["status"] == "UNSET"


@pytest.mark.skipif(not hasattr(exceptions, "TaskTimeout"), reason="timeouts came with Huey 3")
def test_a_timeout_is_an_error(instrument, make_huey):
    """Huey emits no error signal for it."""
    traced, huey = instrument(), make_huey()
    failing(huey, exceptions.TaskTimeout("timeout 1s"))()
    run_all(huey)
    span = process(traced)
    assert span["status"] == "ERROR"
    assert span["attributes"]["error.type"] == "huey.exceptions.TaskTimeout"
    assert len(span["exceptions"]) == 1


def test_an_interrupted_task_is_an_error(instrument, make_huey):
    """It did not finish."""
    traced, huey = instrument(), make_huey()
    failing(huey, KeyboardInterrupt())()
    run_all(huey)
    assert process(traced)["status"] == "ERROR"
    assert process(traced)["attributes"]["error.type"] == "KeyboardInterrupt"


def test_a_retry_that_the_task_asks_for_is_no_error(instrument, make_huey):
    """`RetryTask` is a way to end."""
    traced, huey = instrument(), make_huey()
    failing(huey, exceptions.RetryTask())()
    run_all(huey)
    first, second = (span for span in traced.spans if span["kind"] == "CONSUMER")
    assert (first["status"], first["attributes"]["huey.will_retry"]) == ("UNSET", True)
    assert "huey.will_retry" not in second["attributes"]


def test_a_message_that_cannot_be_stored_is_an_error_of_its_producer(instrument, make_huey):
    """The caller gets the exception as before."""
    traced, huey = instrument(), make_huey()
    add = huey.task(name="add")(lambda function: 1)
    with pytest.raises(Exception, match=r"lambda|pickle"):
        add(lambda: 1)
    assert traced.span("send")["status"] == "ERROR"


def test_a_task_runs_although_the_tracer_raises(instrument, make_huey, caplog):
    """Each place that calls OpenTelemetry; the failure is logged once."""
    traced, huey = instrument(), make_huey()
    ran = []
    add = huey.task(name="add")(lambda: ran.append(1))

    class Broken:
        def should_sample(self, *args, **options):
            raise RuntimeError("no sampler")

    add()
    run_all(huey)
    HueyInstrumentor()._tracer.get().sampler = Broken()
    add()
    run_all(huey)
    assert ran == [1, 1]
    assert [each.name for each in caplog.records].count("huey_signals_kit") == 1
    assert len(traced.spans) == 2


def test_a_task_runs_although_spans_cannot_be_ended(instrument, make_huey, monkeypatch, caplog):
    """And the spans after it are not inside of its span."""
    traced, huey = instrument(), make_huey()
    ran = []
    add = huey.task(name="add")(lambda: ran.append(1))
    monkeypatch.setattr(Span, "end", lambda *args: 1 / 0)
    add()
    run_all(huey)
    assert ran == [1]
    assert "division by zero" in caplog.text
    assert not trace.get_current_span().get_span_context().is_valid
    del traced


def test_what_the_sampler_drops_is_dropped(instrument, make_huey):
    """The caller's span gets no link to a span that is not there."""
    traced, huey = instrument(sampler=ALWAYS_OFF), make_huey()
    add = huey.task(name="add")(lambda: trace.get_current_span().is_recording() or 1)
    assert add() is not None
    run_all(huey)
    assert traced.spans == []


def test_a_ratio_keeps_or_drops_all_spans_of_a_task(instrument, make_huey):
    """It is decided by the id of the trace, which is the task's."""
    traced, huey = instrument(sampler=ParentBased(TraceIdRatioBased(0.5))), make_huey()
    add = huey.task(name="add")(lambda: 1)
    for _ in range(100):
        add()
    run_all(huey)
    by_trace = {}
    for span in traced.spans:
        by_trace.setdefault(span["trace"], []).append(span)
    assert {len(spans) for spans in by_trace.values()} == {2}
    assert 20 < len(by_trace) < 80


def test_with_propagate_the_callers_decision_holds(instrument, make_huey):
    """A caller whose trace is not sampled, and a task that is not either."""
    traced, huey = instrument(propagate=True, sampler=ParentBased(ALWAYS_ON)), make_huey()
    add = huey.task(name="add")(lambda: 1)
    with trace.use_span(NonRecordingSpan(SpanContext(1, 1, False, TraceFlags(0)))):
        add()
    run_all(huey)
    assert traced.spans == []


def test_a_worker_under_a_foreign_span_makes_spans_of_its_own(instrument, make_huey):
    """The attempt has no parent; it links to the span that was current."""
    traced, huey = instrument(), make_huey()
    huey.task(name="add")(lambda: 1)()
    with traced.tracer.start_as_current_span("loop"):
        run_all(huey)
    loop, attempt = traced.span("loop"), process(traced)
    assert attempt["parent"] is None
    assert (loop["trace"], loop["id"]) in map(tuple, attempt["links"])


def test_a_task_is_not_kept_alive_by_an_error_of_the_storage(instrument, make_huey, monkeypatch):
    """A message counts as in flight as long as its task is referenced."""
    instrument()
    huey = make_huey()
    huey.task(name="add")(lambda: 1)()

    def fail(*args):
        raise OSError("the storage is gone")

    gc.collect()
    gc.disable()
    try:
        task = huey.dequeue()
        is_alive = weakref.ref(task)
        monkeypatch.setattr(huey, "put_result", fail)
        with pytest.raises(OSError, match="gone"):
            huey.execute(task)
        del task
        assert is_alive() is None
    finally:
        gc.enable()


def test_suppressed_instrumentation_makes_no_spans(instrument, make_huey):
    """As OpenTelemetry's own exporters suppress it."""
    traced, huey = instrument(), make_huey()
    add = huey.task(name="add")(lambda: 1)
    with suppress_instrumentation():
        add()
        run_all(huey)
    assert traced.spans == []


def test_uninstrumented_huey_is_as_it_was(make_huey):
    """No function of Huey is changed, before and after."""
    classes = Huey, Registry, Serializer, Signal
    before = [dict(vars(cls)) for cls in classes]
    HueyInstrumentor().instrument(propagate=True)
    assert [dict(vars(cls)) for cls in classes] != before
    HueyInstrumentor().uninstrument()
    assert [dict(vars(cls)) for cls in classes] == before


def test_another_wrapper_outlives_the_instrumentation(instrument, make_huey):
    """Code that has wrapped a function later keeps it; no span is made, until the next time."""
    traced, huey = instrument(), make_huey()
    add = huey.task(name="add")(lambda: 1)
    ours, called = Huey.enqueue, []
    try:
        Huey.enqueue = lambda self, task: called.append(task.id) or ours(self, task)
        HueyInstrumentor().uninstrument()
        add()
        assert traced.spans == []
        again = instrument()
        add()
        assert [span["name"] for span in again.spans] == [f"send {__name__}.add"]
        assert len(called) == 2
    finally:
        HueyInstrumentor().uninstrument()
        Huey.enqueue = ours.__wrapped__
