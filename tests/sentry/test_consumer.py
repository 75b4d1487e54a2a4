"""The same in real consumers, on threads, forked processes and greenlets."""

from __future__ import annotations

import pytest

from tests.consumer.harness import running_consumer
from tests.selection import slow_except
from tests.sentry.app import declare
from tests.sentry.transport import shown, times, title, written
from tests.support import results


@pytest.fixture
def file(tmp_path, monkeypatch, setup):
    """Where the consumer writes what it would send, set up in the test's way."""
    monkeypatch.setenv("HUEY_KIT_TEST_SENTRY_FILE", str(tmp_path / "events"))
    monkeypatch.setenv("HUEY_KIT_TEST_SENTRY_SETUP", setup)
    return tmp_path / "events"


@pytest.mark.parametrize("worker", slow_except(["process"], ["thread", "process", "greenlet"]))
def test_events_of_a_consumer(make_place, make_huey, tmp_path, file, worker):
    """Skips send nothing and are shown on the same task's next event, and on no other's."""
    place = make_place("sqlite")
    huey = make_huey("sqlite", place.name)
    tasks = declare(huey)
    options = {"worker": worker, "workers": 1, "install": {}, "app": "tests.sentry.app"}

    def finish(consumer):
        last = tasks.done().id
        consumer.wait_until(lambda: results(huey).get(last), "all that was enqueued")

    with running_consumer(place, tmp_path / "log", **options) as consumer:
        with huey.lock_task("held"):
            skipped = [tasks.report("secret argument").id for _ in range(2)]
            tasks.wrapped()
            tasks.other()
            finish(consumer)
        assert [title(event) for event in written(file)] == ["KeyError"]
        tasks.report("secret argument")
        finish(consumer)
    unrelated, event = written(file)
    assert shown(unrelated) == []
    assert title(event) == "ValueError"
    assert shown(event) == [{"lock": "held", "task_id": each, "attempt": 1} for each in skipped]
    assert times(event) == sorted(times(event))
    assert "secret argument" not in str(event["breadcrumbs"])


def test_each_worker_process_shows_its_own_skips(make_place, make_huey, tmp_path, file):
    """No skip is shown by two processes."""
    place = make_place("sqlite")
    huey = make_huey("sqlite", place.name)
    tasks = declare(huey)
    options = {"worker": "process", "workers": 3, "install": {}, "app": "tests.sentry.app"}
    with running_consumer(place, tmp_path / "log", **options) as consumer:
        with huey.lock_task("held"):
            skipped = {tasks.report("").id for _ in range(12)}
            consumer.wait_until(lambda: huey.pending_count() == 0, "the skips")
            last = [tasks.done().id for _ in range(12)]
            consumer.wait_until(lambda: set(last) <= results(huey).keys(), "what came after them")
        for _ in range(12):
            tasks.report("")
        consumer.wait_until(lambda: huey.pending_count() == 0, "the errors")
    by_process = {}
    for event in written(file):
        shown_here = by_process.setdefault(event["pid"], set())
        shown_here |= skipped & {crumb["task_id"] for crumb in shown(event)}
    shares = list(by_process.values())
    assert len(set().union(*shares)) == sum(map(len, shares)) > 0
