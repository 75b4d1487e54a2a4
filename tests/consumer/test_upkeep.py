"""Consumers, an application and the command line work on one queue, and some of them are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from types import SimpleNamespace
from uuid import uuid4

import pytest

from huey_signals_kit.upkeep import report, sweep_tokens
from tests.consumer.harness import ROOT, running_consumer
from tests.consumer.upkeep_app import declare
from tests.selection import slow_except
from tests.support import HAS_ENQUEUED, results, tokens, wait_until

APP = "tests.consumer.upkeep_app"
DAY = 86_400.0


class Commands:
    """The command line, and other processes, on one queue."""

    def __init__(self, place):
        self.place = place
        where = {"KIND": place.kind, "LOCATION": place.location, "NAME": place.name}
        self._env = {
            **os.environ,
            **{f"HUEY_KIT_TEST_{part}": value for part, value in where.items()},
        }

    def start(self, *command):
        """A process of this Python."""
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, name, *options):
        """``huey-signals NAME``."""
        return self.start("-m", "huey_signals_kit", name, f"{APP}.huey", "--json", *options)

    def report(self, code=0):
        """What ``report --json`` tells: sums by signal, and who lives."""
        told = answer(self.command("report"), code)
        counts = {}
        for each in told["counters"]:
            if each["metric"] == "huey_signals_total":
                signal = each["labels"]["signal"]
                counts[signal] = counts.get(signal, 0) + each["value"]
        workers = sorted(each["worker"] for each in told["consumers"] if each["alive"])
        return SimpleNamespace(counts=counts, workers=workers, told=told)


def answer(process, code=0):
    """The JSON that it prints, once it is done with exit code *code*."""
    out, err = process.communicate(timeout=90)
    assert process.returncode == code, err + out
    return json.loads(out)


KINDS = ["sqlite", "redis"]
ON_SQLITE = pytest.mark.parametrize("setting", ["sqlite"], indirect=True)


@pytest.fixture(params=KINDS)
def setting(request, make_place, make_huey, tmp_path):
    """The place, a Huey there without a kit, its task, the commands, and what runs a consumer."""
    place = make_place(request.param)
    huey = make_huey(request.param, place.name)

    def consumer(worker, workers=2):
        log = tmp_path / f"{worker}.log"
        return running_consumer(place, log, worker=worker, workers=workers, install=None, app=APP)

    return SimpleNamespace(
        place=place, huey=huey, quick=declare(huey), commands=Commands(place), consumer=consumer
    )


def leak(huey, count):
    """So many tokens of nobody, found orphaned by a sweep that was yesterday."""
    for _ in range(count):
        huey.storage.put_data(f"r:{uuid4()}", b"\x80\x04N\x88\x86.")
    marked = sweep_tokens(huey, clock=lambda: time.time() - DAY - 60).marked
    assert marked == count


FOLD = """
import sys
from huey_signals_kit.ledger import open_ledger
from tests.support import Place
ledger = open_ledger(Place(*sys.argv[1:]).open())
print(sum(ledger.fold_dead() for _ in range(20)))
"""


def fold_by_many(setting):
    """Four processes fold whoever is dead, at once and again and again; how many they say."""
    place = setting.place
    command = ["-c", FOLD, place.kind, place.location, place.name]
    return sum(answer(each) for each in [setting.commands.start(*command) for _ in range(4)])


def counts_of(huey):
    """As `Commands.report`, in this process, which is the third one."""
    counts = {}
    for each in report(huey).counters:
        if each["metric"] == "huey_signals_total":
            signal = each["labels"]["signal"]
            counts[signal] = counts.get(signal, 0) + each["value"]
    return counts


@pytest.mark.slow
def test_all_see_the_same_and_kill_9_doubles_nothing(setting):
    """Sums of both consumers and the application, while they run and when one was killed."""
    commands, huey = setting.commands, setting.huey
    expected = {"executing": 300, "complete": 300}
    if HAS_ENQUEUED:
        expected["enqueued"] = 300
    with setting.consumer("thread") as threads, setting.consumer("process") as processes:
        enqueue = f"from {APP} import quick; [quick(n) for n in range(300)]"
        application = commands.start("-c", enqueue)
        assert application.wait(60) == 0, application.communicate()
        threads.wait_until(lambda: len(results(huey)) == 300, "300 tasks")
        wait_until(lambda: counts_of(huey) == expected, 30, "their beats")
        leak(huey, 3000)
        # All at once, and all of them with the two consumers to wait for.
        sweeps = [commands.command("sweep", "--apply") for _ in range(3)]
        told = commands.report()
        all_of_them = ["process", "process", "scheduler", "thread"]
        assert (told.counts, told.workers) == (expected, all_of_them)
        found = [answer(each) for each in sweeps]
        assert sum(each["deleted"] for each in found) == 3000, found
        assert [each["stopped"] for each in found] == [""] * 3
        assert tokens(huey) == set()
        for n in range(300, 400):
            setting.quick(n)
        threads.wait_until(lambda: len(results(huey)) == 400, "100 more")
        processes.kill()  # within an interval: some of these 100 may be lost, and no others
        dead = [each for each in commands.report().told["consumers"] if not each["alive"]]
        assert len(dead) >= 2
        assert fold_by_many(setting) == len(dead)
        assert fold_by_many(setting) == 0
        threads.stop()
    told = commands.report()
    for signal in ("executing", "complete"):
        assert 300 <= told.counts.pop(signal) <= 400
    assert told.counts == {signal: 300 for signal in expected if signal == "enqueued"}
    assert told.told["consumers"] == []


HALF = """
import socket, sys, time
from huey_signals_kit.upkeep import sweep_tokens
from huey_signals_kit.upkeep.tokens import sweep, sweeper
from tests.support import Place
if sys.argv[4] == "on another host":
    socket.gethostname = lambda: "another host"
    sweeper.LEASE_SECONDS = 3.0
sweep.DELETE_BATCH = 100
def hold(report):
    if report.deleted >= 500:
        print(report.deleted, flush=True)
        time.sleep(600)
sweep_tokens(Place(*sys.argv[1:4]).open(), on_progress=hold)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "where"),
    slow_except(
        [("redis", "on another host")],
        [("sqlite", "on this host"), ("sqlite", "on another host"), ("redis", "on another host")],
    ),
    indirect=["setting"],
)
def test_a_sweep_killed_half_way_is_gone_on_with(setting, where):
    """At once, or when its lease has run out; each token is deleted once, and live ones are not."""
    commands, huey, place = setting.commands, setting.huey, setting.place
    waiting = setting.quick.schedule((1,), delay=3600)
    huey.revoke_by_id(waiting.id)
    leak(huey, 1500)
    half = commands.start("-c", HALF, place.kind, place.location, place.name, where)
    deleted = int(half.stdout.readline())
    assert 500 <= deleted < 600  # it deletes by groups of marks
    began = time.monotonic()
    half.kill()
    half.communicate()
    sweeps = [answer(each) for each in [commands.command("sweep", "--apply") for _ in range(2)]]
    assert time.monotonic() - began < 30  # as long as any lease holds
    assert [each["stopped"] for each in sweeps] == ["", ""]
    assert [(each["live"], each["marked"]) for each in sweeps] == [(1, 0), (1, 0)]
    # The marks of the others are still there, and as old as they were.
    assert sum(each["deleted"] for each in sweeps) == 1500 - deleted
    assert tokens(huey) == {f"r:{waiting.id}"}


@pytest.mark.slow
@pytest.mark.parametrize("setting", slow_except(["sqlite"], KINDS), indirect=True)
def test_many_who_sweep_at_once_delete_each_token_once(setting):
    """Also those that do not wait for one another: who cannot get its turn deletes nothing."""
    commands, huey, place = setting.commands, setting.huey, setting.place
    leak(huey, 8_000)
    impatient = [
        commands.start("-c", IMPATIENT, place.kind, place.location, place.name) for _ in range(3)
    ]
    patient = commands.command("sweep", "--apply")
    found = [answer(each) for each in [*impatient, patient]]
    assert sum(each["deleted"] for each in found) == 8_000, found
    assert tokens(huey) == set()


IMPATIENT = """
import json, sys
from huey_signals_kit.upkeep import Sweeper
from tests.support import Place
sweeper = Sweeper(Place(*sys.argv[1:]).open())
reports = [sweeper.run() for _ in range(40)]
print(json.dumps({"deleted": sum(each.deleted for each in reports)}))
"""


@pytest.mark.slow
@ON_SQLITE
def test_the_commands_clean_what_bare_huey_has_left(setting):
    """``purge --apply`` and two ``sweep --apply``: nothing is left that has to go."""
    commands, huey = setting.commands, setting.huey

    @huey.task(name="guarded")
    @huey.lock_task("held")
    def guarded():
        return None

    with ExitStack() as held:
        held.enter_context(huey.lock_task("held"))
        for _ in range(5):
            guarded()
            huey.execute(huey.dequeue())
    done = setting.quick(7)
    huey.execute(huey.dequeue())
    leak(huey, 5)
    assert answer(commands.command("purge"))["deleted"] == 5
    # Lock errors, and no consumer with the kit: that needs attention.
    assert commands.report(code=1).told["errors"] == {"TaskLockedException": 5}
    assert answer(commands.command("purge", "--apply"))["deleted"] == 5
    assert answer(commands.command("sweep", "--apply"))["deleted"] == 5
    told = commands.report().told
    assert (told["errors"], told["tokens"]["orphaned"]) == ({}, 0)
    assert done.get() == 7
