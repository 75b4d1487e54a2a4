"""Workers that hold locks are killed all the time, and what they leave is freed all the time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from huey_signals_kit.upkeep import LockInspector
from tests.consumer.harness import ROOT, running_consumer
from tests.faults.lock_soak_app import AFTER, FOLDER, HELD, SKIPPED, TWICE, WORKERS, declare, noted
from tests.support import tail

SECONDS = float(os.environ.get("HUEY_SIGNALS_KIT_SOAK_SECONDS", "12"))
ON_DEMAND = "HUEY_SIGNALS_KIT_SOAK_SECONDS" in os.environ
LOCKS = [f"lock-{number}" for number in range(20)]
RELEASERS = 2
BACKLOG = 50
LIMIT_SECONDS = 120
"""How much longer a slow machine may take until everything has happened often enough."""
SETTLE_SECONDS = 10
"""Within which the last tasks have ended, and nothing is left of those that were killed."""


class Killer:
    """``kill -9`` for one worker process after the other; the consumer starts new ones."""

    def __init__(self, huey, consumer, draw):
        self._huey, self._consumer, self._draw = huey, consumer, draw
        self._next = 0.0
        self.killed = 0

    def step(self):
        """Kill one, if it is time to."""
        if time.monotonic() >= self._next and (living := self._living()):
            os.kill(self._draw.choice(living), signal.SIGKILL)
            self.killed += 1
            self._next = time.monotonic() + self._draw.uniform(0.05, 0.5)

    def _living(self):
        return [pid for pid in map(int, noted(self._huey, WORKERS)) if self._is_worker(pid)]

    def _is_worker(self, pid):
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return False
        return fields[0] != b"Z" and int(fields[1]) == self._consumer.process.pid


@contextmanager
def releasing(place, log, wrong):
    command = [sys.executable, "-m", "tests.faults.lock_releaser", place.kind, place.location]
    with log.open("wb") as output:
        releaser = subprocess.Popen(
            [*command, place.name, wrong], cwd=ROOT, stdout=output, stderr=output
        )
        try:
            yield releaser
            assert releaser.poll() is None, tail(log)
        finally:
            releaser.kill()
            releaser.wait()


def soak(place, huey, folder, seconds, wrong=""):
    """Who held what twice, which locks were left in the end, and the figures of it all."""
    draw = random.Random(os.environ.get("HUEY_SIGNALS_KIT_SOAK_SEED", "1"))
    guarded, watch = declare(huey), LockInspector(huey)
    log = folder / "consumer.log"
    logs = [folder / f"releaser {number}.log" for number in range(RELEASERS)]
    with ExitStack() as stack:
        consumer = stack.enter_context(
            running_consumer(
                place,
                log,
                worker="process",
                workers=4,
                install=None,
                app="tests.faults.lock_soak_app",
                options=["-c", "0.1"],
            )
        )
        releasers = [stack.enter_context(releasing(place, each, wrong)) for each in logs]
        killer, end = Killer(huey, consumer, draw), time.monotonic() + seconds
        limit = end + LIMIT_SECONDS
        while time.monotonic() < end or (
            not has_happened(count(huey, logs), seconds)
            and all(each.poll() is None for each in releasers)
            and time.monotonic() < limit
        ):
            killer.step()
            if huey.pending_count() < BACKLOG:
                lock = draw.choice(LOCKS)
                for _ in range(draw.choice([1, 1, 2, 4])):  # several workers want it at once
                    guarded(lock, draw.choice([0, 0.01, 0.05, 0.5]))
            else:
                time.sleep(0.005)
        consumer.wait_until(lambda: huey.pending_count() == 0, "the last tasks")
        end, left = time.monotonic() + SETTLE_SECONDS, LOCKS
        while left and time.monotonic() < end:
            left = [lock.name for lock in watch.all()]
            time.sleep(0.05)
        consumer.stop()
    figures = {
        **count(huey, logs),
        "skipped": len(noted(huey, SKIPPED)),
        "killed": killer.killed,
        "lost by a living holder": log.read_text().count("Lost "),
    }
    print(figures)
    return noted(huey, TWICE), left, figures


def count(huey, logs):
    """How often locks were held, also after a killed holder, and freed by the releasers."""
    lines = [line for each in logs for line in each.read_text().splitlines()]
    freed = [line.split()[-1] for line in lines if line.strip()]
    return {
        "held": len(noted(huey, HELD)),
        "held after one that was killed": len(noted(huey, AFTER)),
        "freed as stale": freed.count("stale"),
        "freed by name": freed.count("name"),
    }


def has_happened(figures, seconds):
    """Whether everything has happened often enough to show something."""
    return (
        figures["held"] > 10 * seconds
        and figures["held after one that was killed"] > seconds / 4
        and figures["freed as stale"] > 0
        and figures["freed by name"] > 0
    )


@pytest.fixture
def setting(make_place, make_huey, tmp_path, monkeypatch):
    """A queue on Redis, and a folder for the logs."""
    (tmp_path / "files").mkdir()
    monkeypatch.setenv(FOLDER, str(tmp_path / "files"))
    place = make_place("redis")
    return place, make_huey("redis", place.name), tmp_path


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + LIMIT_SECONDS + 120)
def test_no_lock_has_two_holders_and_none_is_left(setting):
    """While workers are killed inside of locks, and two processes and the ticks free these."""
    twice, left, figures = soak(*setting, SECONDS)
    assert (twice, left) == ([], []), figures
    assert figures["lost by a living holder"] == 0
    assert has_happened(figures, SECONDS), figures


@pytest.mark.skipif(not ON_DEMAND, reason="shows that the soak above can fail; takes minutes")
@pytest.mark.timeout(SECONDS + LIMIT_SECONDS + 120)
@pytest.mark.parametrize("wrong", ["living", "later"])
def test_a_release_of_a_lock_that_is_held_is_noticed(setting, wrong):
    """By one who takes all holders for dead, or frees what is no longer what it looked at."""
    twice, _, figures = soak(*setting, SECONDS, wrong)
    assert twice or figures["lost by a living holder"], figures
