"""Holders of locks that are killed, and such that are held up, among others that live."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import product
from types import SimpleNamespace

import pytest

from huey_signals_kit.ledger import HEARTBEAT_SECONDS, open_ledger
from huey_signals_kit.upkeep import LockInspector, release_stale
from tests.consumer.harness import ROOT, running_consumer
from tests.consumer.locks_app import GATES, HOST, declare
from tests.selection import slow_except
from tests.support import wait_until

APP = "tests.consumer.locks_app"
STALE_AFTER = 30
LOST = "huey_locks_lost_total"
SAYS_SO = re.compile(r"Lost (\d+) locks?: (.*?)\. The ttl of each ")


class Setting:
    """One queue: its tasks, its consumers, the command line, and a watch that knows no kit."""

    def __init__(self, place, huey, folder):
        self.place, self.huey, self.folder = place, huey, folder
        self.guarded = declare(huey)
        self.watch = LockInspector(huey)
        self.ledger = open_ledger(huey)

    def consumer(self, name, worker, workers, **install):
        """One with the kit."""
        log = self.folder / f"{name}.log"
        return running_consumer(
            self.place,
            log,
            worker=worker,
            workers=workers,
            install={"sinks": "memory", "stale_after": STALE_AFTER, **install},
            app=APP,
        )

    def take(self, consumer, lock):
        """A task that has it by now, in a worker of *consumer*; and the pid of that."""
        result = self.guarded(lock)
        is_in = self.folder / f"{result.id} is in"
        # The whole line: else the file may be there, but not yet what is in it.
        consumer.wait_until(
            lambda: is_in.exists() and is_in.read_text().endswith("\n"), f"{lock} to be taken"
        )
        return SimpleNamespace(result=result, pid=int(is_in.read_text()), id=result.id)

    def let_go(self, holder):
        """It ends."""
        (self.folder / f"{holder.id} may go").touch()

    def looks(self):
        """What `LockInspector` says of each lock, by name."""
        return {lock.name: lock for lock in self.watch.all()}

    def command(self, *words, code=0):
        """What ``huey-signals locks ... --json`` prints."""
        where = {"KIND": self.place.kind, "LOCATION": self.place.location, "NAME": self.place.name}
        ran = subprocess.run(
            [sys.executable, "-m", "huey_signals_kit", "locks", *words, "--json"],
            cwd=ROOT,
            env={**os.environ, **{f"HUEY_KIT_TEST_{part}": value for part, value in where.items()}},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == code, ran.stderr + ran.stdout
        return json.loads(ran.stdout)

    def lost(self):
        """How many locks were lost, as all processes have counted it together."""
        totals = self.ledger.totals()
        return sum(value for key, value in totals.items() if key[0] == LOST)


@pytest.fixture
def setting(request, make_place, make_huey, tmp_path, monkeypatch):
    """On the storage that the test asks for."""
    monkeypatch.setenv(GATES, str(tmp_path))
    place = make_place(request.param)
    return Setting(place, make_huey(request.param, place.name), tmp_path)


@pytest.mark.parametrize(
    ("setting", "worker"),
    slow_except(
        [("redis", "process")],
        [*product(["sqlite", "redis", "redis-expire", "postgres"], ["process", "thread"])],
    ),
    indirect=["setting"],
)
def test_a_lock_of_a_killed_worker_is_seen_and_freed_and_no_other(setting, worker):
    """`locks` names the dead holder, `release --stale` frees its lock, and the task runs again."""
    with setting.consumer("killed", worker, 1) as killed:
        dead = setting.take(killed, "dead")
        with setting.consumer("living", worker, 2) as living:
            alive = setting.take(living, "alive")
            before = setting.looks()
            assert {name: lock.alive for name, lock in before.items()} == dict.fromkeys(
                before, True
            )
            began = time.monotonic()
            if worker == "process":
                assert dead.pid != killed.process.pid
                os.kill(dead.pid, signal.SIGKILL)
            else:
                killed.kill()
            living.wait_until(lambda: not setting.looks()["dead"].alive, "its death to be known")
            found = {
                each["name"]: each
                for each in setting.command("list", f"{APP}.huey", code=1)["locks"]
            }
            assert time.monotonic() - began < 3 * HEARTBEAT_SECONDS
            told = {
                name: (each["alive"], each["task_id"], each["task_name"], each["host"], each["pid"])
                for name, each in found.items()
            }
            host = socket.gethostname()
            assert told == {
                "dead": (False, dead.id, f"{APP}.guarded", host, dead.pid),
                "alive": (True, alive.id, f"{APP}.guarded", host, alive.pid),
            }
            would = setting.command("release", f"{APP}.huey", "--stale")
            assert [each["name"] for each in would["released"]] == ["dead"]
            assert set(setting.looks()) == {"dead", "alive"}
            done = setting.command("release", f"{APP}.huey", "--stale", "--apply")
            assert [each["name"] for each in done["released"]] == ["dead"]
            assert set(setting.looks()) == {"alive"}
            again = setting.take(living, "dead")
            setting.let_go(again)
            assert again.result.get(blocking=True, timeout=30) == again.pid
            # The very taking that it was, and its task has run all the time.
            assert setting.looks()["alive"].raw == before["alive"].raw
            assert alive.result.get() is None
            setting.let_go(alive)
            assert alive.result.get(blocking=True, timeout=30) == alive.pid
            assert setting.looks() == {}
            living.stop()
    assert setting.lost() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "worker"), [("sqlite", "process"), ("redis", "thread")], indirect=["setting"]
)
def test_on_other_hosts_the_heartbeats_tell_whose_lock_is_freed(setting, worker, monkeypatch):
    """`release --stale` waits until it knows; of two that it cannot see, one lives."""
    monkeypatch.setenv(HOST, "one-host")
    with setting.consumer("killed", worker, 1) as killed:
        setting.take(killed, "dead")
        monkeypatch.setenv(HOST, "another-host")
        with setting.consumer("living", worker, 2) as living:
            alive = setting.take(living, "alive")
            monkeypatch.delenv(HOST)
            living.wait_until(lambda: all(e.alive for e in setting.looks().values()), "their beats")
            before = setting.looks()["alive"]
            killed.kill()
            began = time.monotonic()
            living.wait_until(lambda: setting.looks()["dead"].alive is False, "its death")
            # Since the last beat, which is at most an interval older than the kill.
            assert time.monotonic() - began > STALE_AFTER - HEARTBEAT_SECONDS
            assert time.monotonic() - began < STALE_AFTER + 30
            assert setting.looks()["alive"].alive is True
            done = setting.command("release", f"{APP}.huey", "--stale", "--apply")
            assert [(e["name"], e["host"]) for e in done["released"]] == [("dead", "one-host")]
            (left,) = setting.looks().values()
            assert (left.raw, left.alive, left.host) == (before.raw, True, "another-host")
            setting.let_go(alive)
            assert alive.result.get(blocking=True, timeout=30) == alive.pid
            living.stop()


HOLDER = """
import os, sys, time
from huey_signals_kit import install_handlers
from tests.support import Place
huey = Place(*sys.argv[1:]).open()
install_handlers(huey, stale_after=30)
huey.lock_task("held").__enter__()
print(os.getpid(), flush=True)
time.sleep(600)
"""
CONTAINER = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run([*CONTAINER, "true"], capture_output=True).returncode != 0,
    reason="a process may not number its own here",
)
@pytest.mark.parametrize("setting", ["sqlite"], indirect=True)
def test_a_process_of_a_container_is_not_taken_for_one_of_the_host(setting):
    """Its number is 1, which is always there, and the name of the host may be the same."""
    where = [setting.place.kind, setting.place.location, setting.place.name]
    command = [*CONTAINER, sys.executable, "-c", HOLDER, *where]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as container:
        try:
            assert container.stdout.readline() == "1\n"
            (first,) = setting.looks().values()
            assert (first.pid, first.host, first.alive) == (1, socket.gethostname(), None)
            wait_until(lambda: setting.looks()["held"].alive, 30, "its beats")
        finally:
            container.kill()
    wait_until(lambda: setting.looks()["held"].alive is None, 30, "its silence")
    began = time.monotonic()
    assert [
        lock.name for lock in release_stale(setting.huey, inspector=setting.watch).released
    ] == ["held"]
    assert STALE_AFTER <= time.monotonic() - began < STALE_AFTER + 30


@contextmanager
def stopped(consumer):
    """All processes of *consumer* stand still."""
    os.killpg(consumer.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(consumer.process.pid, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.timeout(300)  # it watches a silence of 30 seconds, on a busy machine for longer
@pytest.mark.parametrize(
    ("setting", "worker"), [("sqlite", "thread"), ("redis", "process")], indirect=["setting"]
)
def test_a_holder_that_stood_still_finds_out_and_leaves_its_successors_lock(
    setting, worker, monkeypatch
):
    """On another host it counts as dead after its silence; on this one its process is there."""
    with (
        setting.consumer("near", worker, 1) as near,
        monkeypatch.context() as environment,
    ):

        def release_known():
            names = ["first", "second", "here"]
            return release_stale(setting.huey, inspector=setting.watch, names=names)

        here = setting.take(near, "here")
        environment.setenv(HOST, "another-host")
        with setting.consumer("far", worker, 2) as far:
            first, second = setting.take(far, "first"), setting.take(far, "second")
            environment.delenv(HOST)
            far.wait_until(
                lambda: all(lock.alive for lock in setting.looks().values()), "their beats"
            )
            assert setting.looks()["first"].host == "another-host"
            with setting.consumer("successor", worker, 2) as successor:
                with stopped(near), stopped(far):
                    began = time.monotonic()
                    while setting.looks()["first"].alive is not False:
                        assert setting.looks()["here"].alive is True
                        # The watcher of this host stands still as well: another takes its turn.
                        assert time.monotonic() - began < STALE_AFTER + 60
                        if time.monotonic() - began < STALE_AFTER - 2 * HEARTBEAT_SECONDS:
                            assert release_known().released == []
                        time.sleep(0.1)
                    assert time.monotonic() - began > STALE_AFTER - HEARTBEAT_SECONDS
                    successor.wait_until(
                        lambda: setting.looks()["second"].alive is False, "the other as well"
                    )
                    done = release_known().released
                    assert [lock.name for lock in done] == ["first", "second"]
                    assert set(setting.looks()) == {"here"}
                    theirs = [setting.take(successor, lock) for lock in ("first", "second")]
                    taken = setting.looks()
                    assert taken["here"].alive is True
                    # One ends as soon as it goes on, the other finds out while it is at it.
                    setting.let_go(first)
                log = setting.folder / "far.log"
                far.wait_until(lambda: SAYS_SO.search(log.read_text()), "the log to say so")
                far.wait_until(lambda: setting.lost() == 2, "both to be counted")
                setting.let_go(second)
                for held_up in (first, second):
                    assert held_up.result.get(blocking=True, timeout=30) == held_up.pid
                now = setting.looks()
                assert {n: lock.raw for n, lock in now.items()} == {
                    n: lock.raw for n, lock in taken.items()
                }
                assert {lock.alive for lock in now.values()} == {True}
                for each in (*theirs, here):
                    setting.let_go(each)
                    assert each.result.get(blocking=True, timeout=30) == each.pid
                assert setting.looks() == {}
                far.stop()
                successor.stop()
                near.stop()
    assert setting.lost() == 2
    assert not SAYS_SO.search((setting.folder / "near.log").read_text())
    said = SAYS_SO.findall(log.read_text())
    assert sum(int(count) for count, _ in said) == 2
    assert {each for _, named in said for each in named.split(", ")} == {"'first' 1", "'second' 1"}
