"""What goes wrong in the tracing itself: no task is lost, and no span."""

from __future__ import annotations

import multiprocessing

import pytest
from opentelemetry import propagate
from opentelemetry.propagators.textmap import TextMapPropagator

from huey_signals_kit.integrations.opentelemetry import trace_id
from tests.support import run_all
from tests.tracing.spans import read, tree
from tests.tracing.test_trees import failing

FAILED = "The tracing of tasks failed"


class BrokenPropagator(TextMapPropagator):
    """A propagator of the application with a fault.

    Args:
        fault: "bytes", "inject" or "extract".
    """

    fields = frozenset()

    def __init__(self, fault):
        self._fault = fault

    def inject(self, carrier, context=None, setter=None):
        if self._fault == "inject":
            raise RuntimeError("inject is broken")
        carrier["x"] = b"1" if self._fault == "bytes" else "1"

    def extract(self, carrier, context=None, getter=None):
        if self._fault == "extract":
            raise RuntimeError("extract is broken")
        return context


class UnprintableError(Exception):
    """An exception whose text cannot be computed."""

    def __str__(self):
        raise RuntimeError("no text")


def test_an_exception_whose_text_raises_is_an_error_of_the_attempt(instrument, make_huey):
    """The span has the status ERROR, and an event with the type of the exception."""
    traced, huey = instrument(), make_huey()
    failing(huey, UnprintableError())()
    run_all(huey)
    process = traced.span("process")
    name = f"{__name__}.UnprintableError"
    assert process["status"] == "ERROR"
    assert process["attributes"]["error.type"] == name
    assert process["exceptions"] == [name]


def test_with_propagate_an_error_callback_of_two_attempts_has_two_pairs_of_spans(
    instrument, make_huey, tmp_path
):
    """Huey enqueues the callback after each attempt with the same id, here in two processes."""
    instrument(propagate=True, path=tmp_path / "spans")
    huey = make_huey("sqlite")
    on_error = huey.task(name="on_error")(lambda error: None)
    task = failing(huey, ValueError(), ValueError(), retries=1).s()
    huey.enqueue(task.error(on_error))
    fork = multiprocessing.get_context("fork")
    for _ in range(2):  # `failing` counts in each child from the beginning
        worker = fork.Process(target=lambda: [huey.execute(huey.dequeue()) for _ in range(2)])
        worker.start()
        worker.join()
    spans = [span for span in read(tmp_path / "spans") if span["name"].endswith("on_error")]
    assert len(spans) == 4
    assert len({(span["trace"], span["id"]) for span in spans}) == 4


@pytest.mark.parametrize("fault", ["bytes", "inject", "extract"])
def test_a_broken_propagator_costs_only_the_connection(
    instrument, make_huey, monkeypatch, caplog, fault
):
    """The task runs, both spans are exported, the attempt is a root, and the failure is logged."""
    monkeypatch.setattr(propagate, "get_global_textmap", lambda: BrokenPropagator(fault))
    traced, huey = instrument(propagate=True), make_huey()
    add = huey.task(name="add")(lambda: 1)
    with traced.tracer.start_as_current_span("request"):
        result = add()
    run_all(huey)
    assert result() == 1
    spans = tree(traced.spans)
    assert spans["send add 1"][0] == "request"
    assert spans["process add 1"][0] is None
    assert traced.span("process")["trace"] == trace_id(result.id)
    assert caplog.text.count(FAILED) == 1


def test_a_task_that_refuses_the_carrier_runs(instrument, make_huey, caplog):
    """Its attempt is a root, and the failure is logged."""
    traced, huey = instrument(propagate=True), make_huey()
    add = huey.task(name="add")(lambda: 1)

    def refuse(task, name, value):
        if "signals_kit_trace" in name:
            raise AttributeError(name)
        object.__setattr__(task, name, value)

    add.task_class.__setattr__ = refuse
    result = add()
    run_all(huey)
    assert result() == 1
    assert traced.span("process")["parent"] is None
    assert caplog.text.count(FAILED) == 1
