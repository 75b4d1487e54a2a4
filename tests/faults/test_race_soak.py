"""A consumer, an application that revokes and restores, and a sweeper, all as fast as they can."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from datetime import datetime
from uuid import uuid4

import huey as huey_package
import pytest

from huey_signals_kit.upkeep import MIN_AGE
from tests.consumer.harness import ROOT, running_consumer
from tests.faults.soak_app import RAN, SKIPPED, declare, has_happened, noted
from tests.support import tail

SECONDS = float(os.environ.get("HUEY_SIGNALS_KIT_SOAK_SECONDS", "22"))
ON_DEMAND = "HUEY_SIGNALS_KIT_SOAK_SECONDS" in os.environ
HASTE = float(os.environ.get("HUEY_SIGNALS_KIT_SOAK_HASTE", "12"))
DRAIN = 12  # of these, for what was scheduled to come to its end
FAR = datetime(2999, 1, 1)
CHORDS = hasattr(huey_package, "chord")
BACKLOG = 50


class Application:
    """Enqueues, revokes and restores, and knows what has to come of it.

    *runs* and *skips* have how often each id has to be seen; an id that is *never* to run, but
    may be skipped more than once, is in `stopped` only. An id that was enqueued too `late` may
    run or be skipped.
    """

    def __init__(self, huey, haste, seed):
        self.huey, self.haste, self.tasks = huey, haste, declare(huey)
        self.draw = random.Random(seed)
        self.runs, self.skips, self.stopped, self.late = Counter(), Counter(), set(), set()
        self.way_of = {}
        self.later = []
        self.leaks = 0
        self.last_long = 0.0
        self.ways = [
            self.plain,
            self.revoked_before,
            self.restored_before,
            self.scheduled_and_revoked,
            self.scheduled_and_restored,
            self.revoked_again,
            self.later_stage_revoked,
            self.handler_revoked,
            self.kept,
            self.revoked_too_late,
            self.of_nobody,
        ]
        if CHORDS:
            self.ways.append(self.callback_revoked)

    def step(self):
        """One more task, and whatever was put off until now."""
        way = self.draw.choice(self.ways)
        known = {*self.stopped, *self.runs}
        way()
        self.way_of.update(dict.fromkeys({*self.stopped, *self.runs} - known, way.__name__))
        self.do_what_is_due()

    def do_what_is_due(self):
        now = time.monotonic()
        due = [act for at, act in self.later if at <= now]
        self.later = [(at, act) for at, act in self.later if at > now]
        for act in due:
            act()

    def is_over(self):
        """Whether everything has happened, one way or the other."""
        if self.huey.pending_count() or self.huey.scheduled_count():
            return False
        ran, skipped = Counter(noted(self.huey, RAN)), set(noted(self.huey, SKIPPED))
        return not self.runs - ran and self.skips.keys() <= ran.keys() | skipped

    def put_off(self, seconds, act):
        self.later.append((time.monotonic() + seconds, act))

    def revoke(self, task):
        """In one of all forms."""
        form = self.draw.choice([{}, {"revoke_once": True}, {"revoke_until": FAR}])
        by_id = self.draw.random() < 0.5
        (self.huey.revoke_by_id if by_id else self.huey.revoke)(task.id if by_id else task, **form)

    def runs_once(self, *tasks):
        self.runs.update(task.id for task in tasks)

    def is_skipped(self, task):
        self.skips[task.id] += 1
        self.stopped.add(task.id)

    def scheduled(self):
        # Now and then one that is still waiting when a sweep has looked twice, and settled.
        short = self.draw.random() < 0.8
        delay = self.draw.uniform(0.5, 4) if short else self.draw.uniform(DRAIN - 2, DRAIN)
        return self.tasks.job.s(eta=datetime.now() + datetime.resolution * int(delay * 1e6))

    def unless_late(self, task, expect):
        """On a busy machine this process may stand still until after the task was due."""
        if datetime.now() < task.eta:
            expect(task)
        else:
            self.late.add(task.id)

    def plain(self):
        self.runs_once(task := self.tasks.job.s())
        self.huey.enqueue(task)

    def revoked_before(self):
        task = self.tasks.job.s()
        self.revoke(task)
        self.is_skipped(task)
        self.huey.enqueue(task)

    def restored_before(self):
        task = self.tasks.job.s()
        self.revoke(task)
        self.huey.restore(task)
        self.runs_once(task)
        self.huey.enqueue(task)

    def scheduled_and_revoked(self):
        task = self.scheduled()
        self.huey.enqueue(task)
        self.revoke(task)
        self.unless_late(task, self.is_skipped)

    def scheduled_and_restored(self):
        task = self.scheduled()
        self.huey.enqueue(task)
        self.revoke(task)
        self.huey.restore_by_id(task.id)
        self.unless_late(task, self.runs_once)

    def revoked_again(self):
        task = self.scheduled()
        self.revoke(task)
        self.huey.enqueue(task)
        self.huey.restore(task)
        self.revoke(task)
        self.unless_late(task, self.is_skipped)

    def later_stage_revoked(self):
        # Now and then one that runs while a sweep looks twice; not all workers are to do so.
        long = time.monotonic() - self.last_long > 4
        self.last_long = time.monotonic() if long else self.last_long
        head = self.tasks.job.s(seconds=DRAIN - 1 if long else self.draw.uniform(0, 0.05))
        head = head.then(self.tasks.job).then(self.tasks.job).then(self.tasks.job)
        stages = [head, head.on_complete, head.on_complete.on_complete]
        at = 1 if long else self.draw.choice([1, 2])
        self.revoke(stages[at])
        self.runs_once(*stages[:at])
        self.is_skipped(stages[at])
        self.stopped.update(each.id for each in (stages[-1].on_complete, *stages[at + 1 :]))
        self.huey.enqueue(head)

    def handler_revoked(self):
        head = self.tasks.failing.s(retries=1, retry_delay=self.draw.choice([0, 0, 2]))
        head = head.error(self.tasks.job)
        self.huey.revoke(head.on_error)
        self.stopped.add(head.on_error.id)
        self.runs[head.id] += 2
        self.huey.enqueue(head)

    def callback_revoked(self):
        members = [self.tasks.job.s(seconds=self.draw.uniform(0, 0.05)) for _ in range(3)]
        callback = self.tasks.job.s()
        self.revoke(callback)
        self.is_skipped(callback)
        self.runs_once(*members)
        self.huey.enqueue(huey_package.chord(members, callback))

    def kept(self):
        task = self.tasks.job.s()
        revoked = time.monotonic()
        self.revoke(task)
        self.stopped.add(task.id)

        def is_in_time():
            # Who keeps one for longer than two looks are apart is told not to.
            return time.monotonic() - revoked < 0.8 * MIN_AGE / self.haste

        def enqueue():
            if not is_in_time():
                return
            self.huey.enqueue(task)
            if is_in_time():
                self.skips[task.id] += 1
            else:  # this process stood still just then
                self.stopped.discard(task.id)
                self.late.add(task.id)

        self.put_off(self.draw.uniform(0.1, 0.6), enqueue)

    def revoked_too_late(self):
        self.runs_once(task := self.tasks.job.s())
        self.huey.enqueue(task)
        self.leaks += 1
        self.put_off(1, lambda: self.revoke_when_it_ran(task))

    def revoke_when_it_ran(self, task):
        if has_happened(self.huey, RAN, task):
            self.huey.revoke(task)
        else:
            self.put_off(1, lambda: self.revoke_when_it_ran(task))

    def of_nobody(self):
        self.leaks += 1
        self.huey.revoke_by_id(str(uuid4()))


@contextmanager
def sweeping(place, log, haste, overlook):
    command = [sys.executable, "-m", "tests.faults.sweeper", place.kind, place.location]
    with log.open("wb") as output:
        sweeper = subprocess.Popen(
            [*command, place.name, str(haste), overlook], cwd=ROOT, stdout=output, stderr=output
        )
        try:
            yield sweeper
        finally:
            sweeper.kill()
            sweeper.wait()


def soak(place, huey, tmp_path, seconds, haste, overlook=""):
    """What went wrong, by what it is, and the figures of it all."""
    app = Application(huey, haste, os.environ.get("HUEY_SIGNALS_KIT_SOAK_SEED", "1"))
    logs = tmp_path / "consumer.log", tmp_path / "sweeper.log"
    with (
        running_consumer(
            place, logs[0], workers=4, install=None, app="tests.faults.soak_app"
        ) as consumer,
        sweeping(place, logs[1], haste, overlook) as sweeper,
    ):
        end = time.monotonic() + max(seconds - DRAIN, 1)
        while time.monotonic() < end:
            if huey.pending_count() < BACKLOG:
                app.step()
            else:
                time.sleep(0.01)
        while app.later:
            app.do_what_is_due()
            time.sleep(0.01)
        consumer.wait_until(app.is_over, "the end of it all")
        consumer.stop()
        assert sweeper.poll() is None, tail(logs[1])
    ran, skipped = Counter(noted(huey, RAN)), Counter(noted(huey, SKIPPED))
    sweeps = [json.loads(line) for line in logs[1].read_text().splitlines()]
    wrong = {
        "ran though stopped": [(each, app.way_of.get(each)) for each in app.stopped if ran[each]],
        "not skipped once": [each for each in app.skips if skipped[each] != app.skips[each]],
        "not run as often as it has to": [each for each in app.runs if ran[each] != app.runs[each]],
        "skipped though not stopped": [each for each in app.runs if skipped[each]],
        "unknown": [each for each in ran if each not in {*app.runs, *app.stopped, *app.late}],
    }
    figures = {
        "ran": ran.total(),
        "skipped": skipped.total(),
        "leaks": app.leaks,
        "sweeps": len(sweeps),
        "deleted": sum(each["deleted"] for each in sweeps),
        "live": sum(each["live"] for each in sweeps),
        "stopped": sorted({each["stopped"] for each in sweeps}),
    }
    print(figures)
    return wrong, figures


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
def test_no_revoked_task_runs_and_every_other_does(make_place, make_huey, tmp_path):
    """Each revoked task is skipped, each other runs as often as it has to, while sweeps delete."""
    place = make_place("redis")
    huey = make_huey("redis", place.name)
    wrong, figures = soak(place, huey, tmp_path, SECONDS, HASTE)
    assert not any(wrong.values()), (wrong, figures)
    assert figures["deleted"] > 10
    assert figures["live"] > 50
    assert figures["stopped"] == [""]


@pytest.mark.skipif(not ON_DEMAND, reason="shows that the soak above can fail; takes a minute")
@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("place_name", ["scheduled", "running"])
def test_a_sweep_that_overlooks_a_place_is_noticed(make_place, make_huey, tmp_path, place_name):
    """What it deletes then would have stopped a task."""
    place = make_place("redis")
    huey = make_huey("redis", place.name)
    wrong, _ = soak(place, huey, tmp_path, SECONDS, HASTE, place_name)
    assert wrong["ran though stopped"]
