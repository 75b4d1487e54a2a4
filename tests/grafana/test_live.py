"""A real Prometheus scrapes a queue in trouble: each alert fires, and resolves after.

The rules are those of ``recipes/grafana/alerts.yml``; `world.SHORT` has what stands in place of
their times and limits. What the real times and limits do is in the tests of promtool.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("prometheus_client", exc_type=ImportError)

from huey_signals_kit.ledger import open_ledger
from tests.grafana import servers
from tests.grafana.queries import queries
from tests.grafana.test_rules import ALERTS
from tests.grafana.world import NAME, World, steady
from tests.servers import redis_server, served
from tests.support import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.storage("redis")]

FROM_WORK = {"HueyLockBusy", "HueyLocksLost", "HueyHandlerFailing", "HueyTwoSchedulers"}
FROM_STORE = {"HueyStoreGrowing", "HueyTokensOrphaned", "HueySweepOverdue"}
WITHOUT_CONSUMER = {"HueyNoConsumer", "HueyMessagesWait", "HueyScheduleOverdue"}


@pytest.fixture
def has_prometheus():
    """Nothing, if the machine has a Prometheus."""
    yield from served(servers.installed)


@pytest.fixture
def world(tmp_path, has_prometheus):
    """A queue on a Redis of its own, with its export and a Prometheus."""
    with ExitStack() as stack:
        url = stack.enter_context(redis_server())
        world = World(tmp_path, url, stack)
        world.allow(True)
        yield world
        world.huey.storage.conn.close()


def test_each_alert_fires_and_resolves(world):
    """And each query of the dashboard returns data while the queue is at work."""
    world.start_prometheus()
    with world.export():
        with world.consumer("far", "-n", HOST="far-away") as consumer:
            world.tasks.hold("far", 600)
            wait_until(lambda: "far" in claimed(world.huey), 60, "a heartbeat with the lock")
            consumer.kill()
        main = world.stack.enter_context(world.main_consumer())
        in_trouble(world)
        world.allow(False)
        world.wait_for({"HueyStorageUnreachable"})
        world.allow(True)
        world.wait_for(over={"HueyStorageUnreachable"})
    world.wait_for({"HueyNotMeasured"})
    with world.export():
        of_the_dead = {"HueyStaleLock", "HueyConsumerSilent"}
        world.wait_for(of_the_dead, over=set(ALERTS) - of_the_dead)
        assert "far" in world.command("locks", "release", NAME, "--stale", "--apply")
        world.remove_records("far-away")
        world.wait_for(over=set(ALERTS))
        world.tasks.ordinary.schedule((2,), delay=5)
        wait_until(world.huey.scheduled_count, 20, "a worker to put it into the schedule")
        main.stop()
        world.tasks.ordinary(1)
        world.wait_for(WITHOUT_CONSUMER)
        with world.main_consumer():
            world.wait_for(over=WITHOUT_CONSUMER)
    assert world.seen == set(ALERTS)


def claimed(huey) -> set[str]:
    """The locks that a process names in its heartbeat."""
    return {
        name for each in open_ledger(huey).snapshot().processes for name in each.heartbeat.locks
    }


def without_data(world: World) -> list[str]:
    """The queries of the dashboard that return nothing."""
    return [f"{title}: {q}" for title, q in queries("10s") if not world.prometheus.query(q)]


def in_trouble(world: World) -> None:
    """Let every alert fire that a queue with a consumer can have, and end its cause."""
    orphans = [f"{n:08x}-0000-4000-8000-000000000000" for n in range(3)]

    def work() -> None:
        world.tasks.ordinary(1)
        world.tasks.fails()
        world.tasks.hold("import", 0)
        world.tasks.lose("ledger")
        world.huey.put(f"result {time.monotonic()}", "x" * 10_000)

    for task_id in orphans:
        world.huey.revoke_by_id(task_id)
    world.command("sweep", NAME, "--apply")
    with world.consumer("second", "-w", "1"), steady(work):
        world.tasks.hold("import", 12)
        world.wait_for({*FROM_WORK, *FROM_STORE, "HueyConsumerSilent"})
        with suppress(AssertionError):
            wait_until(lambda: not without_data(world), 20, "data for each query")
        assert without_data(world) == []
    world.command("tokens", "delete", NAME, *orphans, "--apply")
