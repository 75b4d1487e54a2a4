"""A Redis at ``maxmemory`` that evicts nothing: what has to be written there is written."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from huey import RedisExpireHuey, RedisHuey

from huey_signals_kit import install_handlers
from huey_signals_kit.ledger import Heartbeat, open_backend, open_ledger
from huey_signals_kit.runtime.process_id import ProcessId, this_process
from tests.locks import taken_by
from tests.servers import find_redis, redis_server
from tests.support import delete_kit_data, hold, kit_data, locks, wait_until

redis = pytest.importorskip("redis")
ELSEWHERE = ProcessId("elsewhere", "another space", 7, 1)


@pytest.fixture(scope="module")
def url():
    try:
        find_redis()
    except Exception as reason:
        pytest.skip(str(reason))
    with redis_server("--maxmemory-policy", "noeviction") as url:
        yield url


@pytest.fixture(params=[RedisHuey, RedisExpireHuey])
def full(request, url):
    """A Huey, and what makes its server full."""
    client = redis.Redis.from_url(url)
    client.config_set("maxmemory", 0)
    client.flushall()
    huey = request.param("full", url=url, blocking=False)

    def fill():
        client.config_set("maxmemory", 1000)
        with pytest.raises(redis.ResponseError, match="maxmemory"):
            client.set("more", "x")

    yield huey, fill
    client.config_set("maxmemory", 0)


def test_heartbeats_and_leases_are_written(full):
    """So a process is not silent, and somebody can look after locks and tokens."""
    huey, fill = full
    fill()
    ledger, lease = open_ledger(huey), open_ledger(huey).lease("locks turn", 60)
    for number in range(1, 4):
        ledger.write(Heartbeat("a", ELSEWHERE, "thread", sequence=number))
        assert [each.heartbeat.sequence for each in ledger.processes()] == [number]
    open_backend(huey).put_alive("a", b"1")
    assert open_backend(huey).read().alive == {"a": b"1"}
    assert (lease.acquire(), lease.renew()) == (True, True)
    lease.release()
    ledger.deregister(Heartbeat("a", ELSEWHERE, "thread", sequence=4))
    assert ledger.processes() == []


def test_stale_locks_are_freed(full):
    """Those of dead processes, and those that nobody claims, of which a mark is written."""
    huey, fill = full
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    mine = this_process()
    taken_by(huey, "dead", ProcessId(mine.host, mine.pid_namespace, process.pid, 1))
    huey.put_if_empty(f"{huey.name}.lock.old", "1")
    kit = install_handlers(huey, sentry=False)
    fill()
    assert [each.name for each in kit.release_stale_locks()] == ["dead"]
    assert "locks full" in kit_data(huey)
    assert locks(huey) == {"old"}
    kit.uninstall()


def test_a_process_that_holds_a_lock_goes_on_saying_that_it_lives(full):
    """On the scheduler, as in a consumer."""
    huey, fill = full
    kit = install_handlers(huey, sentry=False)
    hold(huey, "held")
    fill()

    def sequence():
        found = [each.heartbeat for each in open_ledger(huey).processes()]
        return found[0].sequence if found and found[0].pid == os.getpid() else 0

    wait_until(sequence, 30, "a heartbeat")
    before = sequence()
    kit._heartbeat.write()
    assert sequence() > before
    huey.lock_task("held").clear()
    assert locks(huey) == set()
    kit.uninstall()
    delete_kit_data(huey, *kit_data(huey))
