"""Real consumers: tasks that fight for one lock all run, one at a time, or are given up in time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from huey.api import Huey

from tests.consumer.harness import running_consumer
from tests.consumer.reschedule_app import declare
from tests.selection import combinations, slow_except
from tests.support import Place, hold, locks, results, store, stored_errors

APP = "tests.consumer.reschedule_app"
TASKS = 50


def left(huey: Huey) -> tuple[int, int]:
    """How many tasks are in the queue and in the schedule."""
    return huey.pending_count(), huey.scheduled_count()


@pytest.mark.parametrize(
    ("kind", "worker"), combinations(["sqlite", "redis"], ["thread", "process"])
)
def test_all_run_in_the_end_and_one_at_a_time(
    make_place: Callable[..., Place],
    make_huey: Callable[..., Huey],
    tmp_path: Path,
    kind: str,
    worker: str,
) -> None:
    """All 50 meet the lock first, then fight for it; no error is stored at any time."""
    place = make_place(kind)
    huey = make_huey(kind, place.name)
    alone = declare(huey)
    hold(huey, "one")
    sent = {alone(str(tmp_path), n).id: n for n in range(TASKS)}
    log = tmp_path / "consumer.log"
    install = {"give_up_after": 600}
    with running_consumer(place, log, worker=worker, install=install, app=APP) as consumer:
        consumer.wait_until(lambda: log.read_text().count("not run") >= TASKS, "50 skips")
        assert results(huey) == stored_errors(huey) == {}
        huey.delete(f"{huey.name}.lock.one")
        consumer.wait_until(lambda: len(results(huey)) == TASKS or stored_errors(huey), "50 values")
    assert results(huey) == sent
    assert {key for key in store(huey) if not key.startswith("huey-signals:")} == sent.keys()
    assert left(huey) == (0, 0)


@pytest.mark.parametrize("worker", slow_except(["process"], ["thread", "process"]))
def test_none_waits_for_ever(
    make_place: Callable[..., Place], make_huey: Callable[..., Huey], tmp_path: Path, worker: str
) -> None:
    """With a lock that is never freed, queue, schedule and store are empty in the end."""
    place = make_place("redis")
    huey = make_huey("redis", place.name)
    alone = declare(huey)
    hold(huey, "one")
    for n in range(TASKS):
        alone(str(tmp_path), n)
    log = tmp_path / "consumer.log"
    install = {"give_up_after": 2}
    with running_consumer(place, log, worker=worker, install=install, app=APP) as consumer:
        consumer.wait_until(lambda: log.read_text().count("given up") == TASKS, "50 given up")
    assert left(huey) == (0, 0)
    assert locks(huey) == {"one"}
    assert len(store(huey)) == 1
