"""Real consumers on one queue, and a third process that reads what they share."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from huey_signals_kit.ledger import HEARTBEAT_SECONDS, open_ledger
from huey_signals_kit.upkeep.reports.problems import repeated_periodic
from tests.consumer.harness import ROOT, running_consumer
from tests.consumer.ledger_app import GATE, declare, summary
from tests.selection import combinations, slow_except
from tests.support import kit_data, results, wait_until

APP = "tests.consumer.ledger_app"
KINDS = ["sqlite", "redis"]
READ = """
import json, sys
from tests.consumer.ledger_app import summary
from tests.support import Place
print(json.dumps(summary(Place(*sys.argv[1:]).open())))
"""


def read(place):
    """What a process of its own, without a kit, reads."""
    command = [sys.executable, "-c", READ, place.kind, place.location, place.name]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture(params=KINDS)
def setting(request, make_place, make_huey, tmp_path, monkeypatch):
    """The place, a Huey there, its tasks, and a function that runs a consumer."""
    monkeypatch.setenv(GATE, str(tmp_path / "gate"))
    place = make_place(request.param)
    huey = make_huey(request.param, place.name)

    def consumer(worker, **options):
        log = tmp_path / f"{worker}.log"
        return running_consumer(
            place, log, worker=worker, workers=2, install=None, app=APP, **options
        )

    return place, huey, declare(huey), consumer


@pytest.mark.parametrize("setting", slow_except(["redis"], KINDS), indirect=True)
def test_after_graceful_stops_the_totals_are_exactly_the_work_done(setting):
    """One consumer with threads, one with processes: the sum of both, and no record is left."""
    place, huey, (quick, _), consumer = setting
    with consumer("thread") as threads, consumer("process") as processes:
        all_of_them = ["process", "process", "scheduler", "thread"]
        wait_until(lambda: summary(huey)["workers"] == all_of_them, 30, "beats")
        for n in range(400):
            quick(n)
        threads.wait_until(lambda: len(results(huey)) == 400, "400 tasks")
        threads.stop()
        processes.stop()
    found = read(place)
    assert found["counts"] == {"executing": 400, "complete": 400, "timed": 400}
    assert found["records"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("setting", slow_except(["sqlite"], KINDS), indirect=True)
def test_kill_9_loses_at_most_the_last_interval_and_doubles_nothing(setting):
    """What it had written when it was killed is in the totals for good, once, after all is over."""
    place, huey, (quick, _), consumer = setting
    with consumer("thread") as killed, consumer("process") as other:
        for n in range(200):
            quick(n)
        killed.wait_until(lambda: len(results(huey)) == 200, "200 tasks")
        # Every one of them has beaten since the last task ended.
        wait_until(lambda: summary(huey)["counts"].get("complete") == 200, 30, "their beats")
        for n in range(200, 300):
            quick(n)
        killed.wait_until(lambda: len(results(huey)) == 300, "100 more")
        killed.kill()
        wait_until(lambda: "thread" not in summary(huey)["workers"], 5, "its death to be known")
        assert 200 <= read(place)["counts"]["complete"] <= 300
        other.stop()
    between = read(place)["counts"]["complete"]
    assert 200 <= between <= 300
    with consumer("thread") as third:
        third_alone = lambda found: (found["records"], found["workers"]) == (1, ["thread"])  # noqa: E731
        wait_until(lambda: third_alone(summary(huey)), 30, "the dead to be folded")
        third.stop()
    found = read(place)
    assert found["counts"]["complete"] == between
    assert found["records"] == 0


@pytest.mark.parametrize(
    ("setting", "worker"),
    combinations(KINDS, ["thread", "process", "greenlet"]),
    indirect=["setting"],
)
def test_others_see_what_a_consumer_runs(setting, tmp_path, worker):
    """A task and all that is nested in it, within an interval, until it is done."""
    _, huey, (quick, slow), consumer = setting
    task = slow.s().then(quick).then(quick)
    ids = {task.id, task.on_complete.id, task.on_complete.on_complete.id}
    ledger = open_ledger(huey)
    with consumer(worker) as running:
        huey.enqueue(task)
        began = time.monotonic()
        running.wait_until(lambda: ledger.running_ids() == ids, "its beat")
        assert time.monotonic() - began < 2 * HEARTBEAT_SECONDS
        [found] = [each for each in ledger.processes() if each.heartbeat.running]
        assert (found.alive, found.heartbeat.worker) == (True, worker)
        (tmp_path / "gate").touch()
        running.wait_until(lambda: ledger.running_ids() == set(), "its end")
        running.stop()
    assert ledger.processes() == []


def test_a_task_of_a_killed_consumer_is_not_running(setting):
    """On its own host that is known at once, long before its next beat is overdue."""
    _, huey, (_, slow), consumer = setting
    ledger = open_ledger(huey)
    with consumer("process") as killed:
        task = slow().id
        killed.wait_until(lambda: ledger.running_ids() == {task}, "its beat")
        killed.kill()
        wait_until(lambda: ledger.running_ids() == set(), 2, "its death to be known")


QUIET = """
import sys, time
from tests.support import Place
from huey_signals_kit import install_handlers
huey = Place(*sys.argv[1:4]).open()
task = huey.task(name="t")(lambda: None)
kit = install_handlers(huey, sinks="memory")
if sys.argv[4] == "counts":
    task()
    huey.execute(huey.dequeue())
else:
    kit.flush()
"""


@pytest.mark.parametrize("setting", slow_except(["redis"], KINDS), indirect=True)
@pytest.mark.parametrize("counts", [True, False])
def test_an_application_writes_only_if_it_has_counted(setting, counts):
    """A script that ran a task leaves its counts; one that did nothing leaves nothing."""
    place, huey, _, _ = setting
    command = [sys.executable, "-c", QUIET, place.kind, place.location, place.name]
    ran = subprocess.run(
        [*command, "counts" if counts else "nothing"], cwd=ROOT, capture_output=True, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert read(place)["counts"].get("complete") == (1 if counts else None)
    assert bool(kit_data(huey)) is counts


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["redis"], indirect=True)
def test_consumers_that_enqueue_one_periodic_task_are_known(setting):
    """Whether the scheduler is a thread or a process of its own; with --no-periodic it does not."""
    _, huey, _, consumer = setting
    schedulers = ("tests.consumer.ledger_app.never",)

    def periodic():
        """Return who says that they enqueue which tasks."""
        processes = open_ledger(huey).processes()
        return sorted((each.heartbeat.worker, each.periodic) for each in processes)

    with consumer("thread"):
        wait_until(lambda: periodic() == [("thread", ())], 30, "its beat")
        with consumer("process", periodic=True), consumer("thread", periodic=True):
            expected = [
                *[("process", ())] * 2,
                ("scheduler", schedulers),
                ("thread", ()),
                ("thread", schedulers),
            ]
            wait_until(lambda: periodic() == expected, 60, "their beats")
            twice = repeated_periodic(open_ledger(huey).processes())
            assert [len(twice[name]) for name in schedulers] == [2]
        wait_until(lambda: periodic() == [("thread", ())], 30, "the end of both")
