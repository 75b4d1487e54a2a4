"""Real holders of locks that live, while their heartbeats are lost, refused or begin again."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager

import pytest
import redis

from huey_signals_kit.upkeep import LockInspector
from tests.consumer.locks_app import GATES, HOST
from tests.consumer.test_locks import APP, STALE_AFTER, Setting
from tests.servers import redis_server
from tests.support import Place

pytestmark = pytest.mark.timeout(300)  # silences of 30 seconds, longer on a busy machine


@pytest.fixture
def setting(make_place, make_huey, tmp_path, monkeypatch):
    """A queue on Redis, and a folder for the gates of its tasks."""
    monkeypatch.setenv(GATES, str(tmp_path))
    place = make_place("redis")
    return Setting(place, make_huey("redis", place.name), tmp_path)


@pytest.fixture
def full_setting(make_huey, tmp_path, monkeypatch):
    """A queue on a Redis of its own, which will be full."""
    monkeypatch.setenv(GATES, str(tmp_path))
    with redis_server("--maxmemory-policy", "noeviction") as url:
        place = Place("redis", url, "q")
        yield Setting(place, place.open(), tmp_path)


@pytest.mark.slow
def test_a_living_holder_keeps_its_lock_on_a_full_redis(full_setting, monkeypatch):
    """Also against the command that people reach for then, on another host."""
    setting = full_setting
    monkeypatch.setenv(HOST, "another-host")
    with setting.consumer("far", "thread", 1) as far:
        held = setting.take(far, "held")
        far.wait_until(lambda: setting.looks()["held"].alive, "its heartbeats")
        monkeypatch.delenv(HOST)
        client = setting.huey.storage.conn
        client.config_set("maxmemory", 1)
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            client.set("more", "x")
        time.sleep(3 * 5)  # as long as a freshness key lasts
        raw = setting.looks()["held"].raw
        done = setting.command("release", f"{APP}.huey", "--stale", "--apply")
        assert done["released"] == []
        client.config_set("maxmemory", 0)
        assert setting.looks()["held"].raw == raw
        setting.let_go(held)
        assert held.result.get(blocking=True, timeout=30) == held.pid
        far.stop()
    assert setting.lost() == 0


@contextmanager
def evicting(client):
    """All keys of the kit that have a time to live are gone at once, as on ``volatile-ttl``."""
    over, evicted = threading.Event(), []

    def evict():
        while not over.wait(0.05):
            for key in client.scan_iter("*huey-signals*", count=1000):
                if client.pttl(key) > 0 and client.delete(key):
                    evicted.append(key)

    thread = threading.Thread(target=evict)
    thread.start()
    try:
        yield evicted
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_a_living_holder_keeps_its_lock_on_a_redis_that_evicts(setting, monkeypatch):
    """A consumer on another host frees stale locks, and sees only the heartbeats themselves."""
    monkeypatch.setenv(HOST, "another-host")
    with setting.consumer("far", "thread", 1) as far:
        held = setting.take(far, "held")
        monkeypatch.delenv(HOST)
        with (
            evicting(Place("redis", setting.place.location, "other").open().storage.conn) as gone,
            setting.consumer("releasing", "thread", 1, stale_locks="release") as releasing,
        ):
            raw = setting.looks()["held"].raw
            end = time.monotonic() + STALE_AFTER + 10
            while time.monotonic() < end:
                assert setting.looks()["held"].raw == raw
                assert setting.looks()["held"].alive is not False
                time.sleep(1)
            assert gone
            releasing.stop()
        setting.let_go(held)
        assert held.result.get(blocking=True, timeout=30) == held.pid
        far.stop()
    assert setting.lost() == 0


@pytest.mark.slow
def test_a_consumer_that_restarts_itself_and_the_command_line_agree(setting):
    """After SIGHUP the process is there, with its number, and nobody holds what it has left."""
    with setting.consumer("restarted", "thread", 1) as restarted:
        setting.guarded("left", keep=True).get(blocking=True, timeout=30)
        restarted.wait_until(lambda: setting.looks()["left"].alive, "its heartbeats")
        before = setting.looks()["left"]
        log = setting.folder / "restarted.log"
        restarted.process.send_signal(signal.SIGHUP)
        restarted.wait_until(lambda: log.read_text().count("Huey consumer started") == 2, "its end")
        restarted.wait_until(lambda: setting.looks()["left"].alive is False, "its new heartbeats")
        (listed,) = setting.command("list", f"{APP}.huey", code=1)["locks"]
        assert (listed["alive"], listed["pid"]) == (False, restarted.process.pid)
        told = "'left' is held by process"
        restarted.wait_until(lambda: told in log.read_text(), "the consumer to say so")
        assert setting.looks()["left"].raw == before.raw
        done = setting.command("release", f"{APP}.huey", "--stale", "--apply")
        assert [each["name"] for each in done["released"]] == ["left"]
        restarted.stop()


@pytest.mark.slow
def test_a_consumer_frees_the_lock_of_a_dead_host(setting, monkeypatch):
    """Once its silence was watched for long enough, and within half a minute more."""
    monkeypatch.setenv(HOST, "another-host")
    with setting.consumer("killed", "process", 1) as killed:
        setting.take(killed, "dead")
        monkeypatch.delenv(HOST)
        with setting.consumer("releasing", "thread", 1, stale_locks="release") as releasing:
            living = setting.take(releasing, "alive")
            watch = LockInspector(setting.huey)
            releasing.wait_until(lambda: watch.named(["dead"])[0].alive, "its heartbeats")
            killed.kill()
            began = time.monotonic()
            releasing.wait_until(lambda: "dead" not in setting.looks(), "it to be freed", 90)
            assert STALE_AFTER - 5 < time.monotonic() - began < STALE_AFTER + 30
            assert set(setting.looks()) == {"alive"}
            setting.let_go(living)
            assert living.result.get(blocking=True, timeout=30) == living.pid
            releasing.stop()
    assert setting.lost() == 0
