"""Traces are those of bare Huey."""

from __future__ import annotations

import pytest
import sentry_sdk

from tests.sentry.tasks import broken, plain, subclass, task_of, wrapped
from tests.support import run_all


@pytest.fixture(params=["integration"])
def setup(request):
    """Only Sentry's HueyIntegration makes transactions."""
    return request.param


def traced(sentry, huey):
    """The transactions of the same work, in order, without what differs each time."""
    sentry.items.clear()
    ways = [plain, wrapped, lambda: 1, broken, subclass, wrapped, lambda: 1]
    report = task_of(huey, *ways, retries=1)
    for _ in range(4):
        report()
        run_all(huey)
    return [anonymous(item) for item in sentry.transactions]


def anonymous(transaction):
    """Without ids and times."""
    trace = transaction["contexts"]["trace"]
    tags = {**transaction["tags"], "huey_task_id": None}
    names = ["transaction", "transaction_info", "level", "extra", "breadcrumbs", "exception"]
    return (
        {name: trace.get(name) for name in ("op", "status", "origin")},
        [(span["op"], span.get("description")) for span in transaction["spans"]],
        {**{name: transaction.get(name) for name in names}, "tags": tags},
        sorted(transaction),
    )


@pytest.mark.parametrize("preset", ["quiet-locks", "observe"])
def test_transactions_are_those_of_bare_huey(start, install, make_huey, preset):
    """Also of the tasks whose lock errors are not sent; enqueueing is traced as ever."""
    sentry, bare, huey = start(traces_sample_rate=1.0), make_huey(), make_huey()
    install(huey, preset)
    expected, found = traced(sentry, bare), traced(sentry, huey)
    assert [trace["status"] for trace, *_ in expected] == [
        "aborted",
        "internal_error",
        "ok",
        "internal_error",
        "internal_error",
        "internal_error",
        "ok",
    ]
    assert found == expected


def test_a_transaction_of_the_tasks_own_shows_no_skips(start, install, make_huey):
    """Breadcrumbs belong to events; what the task traces itself stays as it is."""
    sentry, huey = start(traces_sample_rate=1.0), make_huey()
    install(huey)

    def traces():
        with sentry_sdk.start_transaction(name="mine"):
            pass

    report = task_of(huey, plain, traces)
    report()
    report()
    run_all(huey)
    found = {item["transaction"]: item.get("breadcrumbs") for item in sentry.transactions}
    assert found == {"report": None, "mine": None}
