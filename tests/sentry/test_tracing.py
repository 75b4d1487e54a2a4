"""Transactions and check-ins of Sentry's own integration, beside traces of OpenTelemetry."""

from __future__ import annotations

import inspect

import pytest
from huey import crontab
from huey.api import Huey
from sentry_sdk.integrations.huey import HueyIntegration

from huey_signals_kit.integrations.opentelemetry import HueyInstrumentor
from tests.sentry.tasks import broken, plain, subclass, wrapped
from tests.sentry.test_transactions import traced
from tests.support import run_all
from tests.tracing.conftest import Traced
from tests.tracing.spans import tree
from tests.tracing.test_trees import failing

has_check_ins = "monitor_periodic_tasks" in inspect.signature(HueyIntegration).parameters


@pytest.fixture(params=["integration"])
def setup(request):
    """Only Sentry's HueyIntegration makes transactions."""
    return request.param


@pytest.fixture
def instrument(start):
    """`instrument()`: instruments Huey; undone before Sentry is removed."""

    def instrument():
        traced = Traced(None)
        HueyInstrumentor().instrument(tracer_provider=traced.provider)
        return traced

    yield instrument
    if HueyInstrumentor().is_instrumented_by_opentelemetry:
        HueyInstrumentor().uninstrument()


@pytest.mark.parametrize("first", ["sentry", "opentelemetry"])
def test_transactions_are_those_of_bare_huey(start, install, make_huey, instrument, first):
    """Whichever patches Huey first."""
    bare, huey = make_huey(), make_huey()
    sentry = start(traces_sample_rate=1.0)
    expected = traced(sentry, bare)
    assert len(expected) == 7
    if first == "opentelemetry":
        patched = Huey.enqueue, Huey._execute
        Huey.enqueue, Huey._execute = (each.__wrapped__ for each in patched)
        instrument()
        HueyIntegration.setup_once()
    else:
        instrument()
    install(huey)
    assert traced(sentry, huey) == expected


def test_the_spans_are_those_without_sentry(start, install, make_huey, instrument):
    """Its integration adds an argument to the message, which changes no id."""
    start(traces_sample_rate=1.0)
    spans, huey = instrument(), make_huey()
    install(huey)
    failing(huey, ValueError("broken"), retries=1)()
    run_all(huey)
    assert tree(spans.spans) == {
        "send add 1": (None, {"process add 1"}),
        "process add 1": (None, {"send add 1"}),
        "send add 2": ("process add 1", {"process add 2"}),
        "process add 2": (None, {"send add 2"}),
    }


def check_ins_of(sentry, huey):
    """The check-ins of a periodic task that ends in each way, without what differs each time."""
    sentry.check_ins.clear()
    ways = [plain, wrapped, subclass, broken, lambda: 1]

    @huey.periodic_task(crontab(minute="*/5"), name="nightly")
    def nightly():
        ways.pop(0)()

    while ways:
        nightly()
        run_all(huey)
    differing = {"check_in_id", "duration", "contexts", "event_id", "timestamp"}
    return [
        {key: value for key, value in each.items() if key not in differing}
        for each in sentry.check_ins
    ]


@pytest.mark.skipif(not has_check_ins, reason="this Sentry has no check-ins of Huey")
@pytest.mark.parametrize("traces", [False, True])
def test_check_ins_are_those_of_bare_huey(start, install, make_huey, instrument, traces):
    """A lock skip is what Sentry's integration makes of it, with the kit and without."""
    bare, huey = make_huey(), make_huey()
    sentry = start(integrations=[HueyIntegration(monitor_periodic_tasks=True)])
    expected = check_ins_of(sentry, bare)
    assert [each["status"] for each in expected] == [
        each for end in ["error"] * 4 + ["ok"] for each in ("in_progress", end)
    ]
    if traces:
        instrument()
    install(huey)
    assert check_ins_of(sentry, huey) == expected
