"""Sinks and background handlers in real consumers, of every kind of worker."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest

from tests.consumer.app import declare
from tests.consumer.harness import running_consumer
from tests.consumer.sinks_app import INTERVAL, OUTPUT, SLOW
from tests.selection import slow_except
from tests.support import HAS_ENQUEUED, hold, store

APP = "tests.consumer.sinks_app"
WORKERS = ["thread", "process", "greenlet"]


@pytest.fixture
def consume(make_place, make_huey, tmp_path, monkeypatch):
    """Has a consumer with *worker* do so many tasks of each kind; what it wrote, by lines."""
    output = tmp_path / "output"
    output.touch()
    monkeypatch.setenv(OUTPUT, str(output))

    def run(worker, done, locked, failed, stop_seconds=None):
        place = make_place("redis")
        huey = make_huey("redis", place.name)
        tasks = declare(huey)
        hold(huey, "held")
        for call, times in ((tasks.ordinary, done), (tasks.guarded, locked), (tasks.fails, failed)):
            for n in range(times):
                call(n)
        log = tmp_path / "consumer.log"
        with running_consumer(place, log, worker=worker, install=None, app=APP) as consumer:
            consumer.wait_until(
                lambda: huey.pending_count() == 0 and len(store(huey)) == done + failed + 1, "tasks"
            )
            began = time.monotonic()
            consumer.stop()
            stopped = time.monotonic() - began
        return [json.loads(line) for line in output.read_text().splitlines()], stopped

    return run


@pytest.mark.parametrize("worker", slow_except(["process"], WORKERS))
def test_a_sink_that_fails_every_second_time_still_adds_up(consume, worker):
    """After a graceful stop, what the workers have sent is exactly the work done."""
    lines, _ = consume(worker, done=120, locked=80, failed=40)
    totals = Counter()
    for line in lines:
        totals[line["metric"], line["labels"].get("signal")] += line["value"]
    found = {signal: total for (metric, signal), total in totals.items() if signal is not None}
    assert found == {"complete": 120, "locked": 80, "error": 40, "executing": 240}
    assert totals["huey_task_duration_seconds", None] == 160
    assert totals["huey_lock_skips_total", None] == 80
    assert totals["huey_handler_errors_total", None] > 0
    assert len({line["pid"] for line in lines}) == (4 if worker == "process" else 1)


@pytest.mark.skipif(not HAS_ENQUEUED, reason="this Huey does not say so")
@pytest.mark.parametrize("worker", slow_except(["thread"], WORKERS))
def test_what_the_scheduler_enqueues_is_counted_too(
    make_place, make_huey, tmp_path, monkeypatch, worker
):
    """It is a process of its own beside process workers, and runs no hook when it stops."""
    output = tmp_path / "output"
    output.touch()
    monkeypatch.setenv(OUTPUT, str(output))
    monkeypatch.setenv(INTERVAL, "3600")
    place = make_place("redis")
    huey = make_huey("redis", place.name)
    ordinary = declare(huey).ordinary
    for n in range(20):
        ordinary.schedule((n,), delay=6)
    log = tmp_path / "consumer.log"
    with running_consumer(place, log, worker=worker, install=None, app=APP) as consumer:
        consumer.wait_until(lambda: len(store(huey)) == 20, "tasks")
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    found = Counter()
    for line in lines:
        found[line["labels"].get("signal")] += line["value"]
    assert found["scheduled"] == found["enqueued"] == found["complete"] == 20


@pytest.mark.parametrize("worker", slow_except(["greenlet"], WORKERS))
def test_what_was_queued_is_handled_up_to_the_deadline_and_the_rest_counted(
    consume, worker, monkeypatch
):
    """A handler that takes a second an event: the stop waits some seconds, and not for all."""
    monkeypatch.setenv(SLOW, "1")
    lines, stopped = consume(worker, done=0, locked=100, failed=0)
    handled = [line["handled"] for line in lines if "handled" in line]
    dropped = [line for line in lines if line.get("metric") == "huey_events_dropped_total"]
    assert {line["labels"]["handler"] for line in dropped} == {"slow"}
    assert 4 <= len(handled) < 50
    # What a worker has in hand at the deadline counts as not handled, and may still end well.
    in_flight = 4 if worker == "process" else 1
    assert 100 <= len(handled) + sum(line["value"] for line in dropped) <= 100 + in_flight
    assert 4 < stopped < 25


@pytest.mark.parametrize("worker", slow_except(["process"], WORKERS))
def test_what_was_queued_is_handled_when_there_is_time(consume, worker, monkeypatch):
    """A stop loses no event that can be handled within the deadline."""
    monkeypatch.setenv(SLOW, "0.01")
    lines, _ = consume(worker, done=0, locked=100, failed=0)
    assert len({line["handled"] for line in lines if "handled" in line}) == 100
    assert not [line for line in lines if line.get("metric") == "huey_events_dropped_total"]
