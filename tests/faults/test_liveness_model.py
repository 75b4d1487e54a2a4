"""The failure detector in a simulated world, in which everything goes wrong except the holder."""

from __future__ import annotations

import os
import random

import pytest

from huey_signals_kit.ledger import _failure_detector
from huey_signals_kit.ledger._failure_detector import FailureDetector
from huey_signals_kit.ledger._liveness import LivenessView
from tests.faults.liveness_world import BEAT, STALE_AFTER, Run

RUNS = "HUEY_SIGNALS_KIT_LIVENESS_RUNS"
"""The variable with the number of runs; 3,000 take some minutes."""
SECONDS = 400.0


@pytest.fixture
def runs(thorough):
    """Return how many runs a test makes."""
    return int(os.environ.get(RUNS, 150 if thorough else 40))


def violations(runs, first=0):
    """How many of *runs* have freed the lock of a living process."""
    found = 0
    for seed in range(first, first + runs):
        draw = random.Random(seed)
        found += Run(draw, releases=draw.random() < 0.5).go(SECONDS)
    return found


def test_no_living_process_loses_its_lock(runs):
    """Full, emptied, restored, failed over, paused and partitioned, in random order."""
    assert violations(runs) == 0


def believe_any_note(monkeypatch):
    """The value that a note names, and when it was written, do not count."""
    monkeypatch.setattr(
        LivenessView,
        "_trusted_notes",
        lambda self, peer: [float(seconds) for _, _, seconds in self._notes.get(peer, ())],
    )


def believe_changed_writers(monkeypatch):
    """The writer of a note was seen to change, whatever value the note names."""
    monkeypatch.setattr(
        LivenessView,
        "_trusted_notes",
        lambda self, peer: [
            float(seconds) for writer, _, seconds in self._notes.get(peer, ()) if writer.changed
        ],
    )


def cap_gaps(monkeypatch):
    """Between two late heartbeats, a part of the time counts."""
    observe = FailureDetector.observe

    def capped(self, values, *, written, intact, server):
        if self._written is not None:
            self._read = max(self._read, written - _failure_detector.HEARTBEAT_SECONDS)
        observe(self, values, written=written, intact=True, server=None)

    ignore_failed_writes(monkeypatch)
    monkeypatch.setattr(FailureDetector, "observe", capped)


def trust_the_ledger(monkeypatch):
    """A watcher does not mind that its own record was lost, or set back to an older one."""
    observe = FailureDetector.observe

    def trusting(self, values, *, written, intact, server):
        observe(self, values, written=written, intact=True, server=None)

    monkeypatch.setattr(FailureDetector, "observe", trusting)


def ignore_failed_writes(monkeypatch):
    """A silence goes on while the watcher itself cannot write."""
    init = FailureDetector.__init__

    def once(self, clock):
        init(self, clock)
        self.reset = lambda: None

    trust_the_ledger(monkeypatch)
    monkeypatch.setattr(_failure_detector, "GAP_SECONDS", float("inf"))
    monkeypatch.setattr(FailureDetector, "__init__", once)


@pytest.mark.parametrize(
    ("break_rule", "first"),
    [
        (believe_any_note, 31),
        (believe_changed_writers, 333),
        (cap_gaps, 25),
        (ignore_failed_writes, 25),
        (trust_the_ledger, 25),
    ],
)
def test_without_one_of_its_rules_a_living_process_loses_its_lock(monkeypatch, break_rule, first):
    """So the runs can fail, and each rule is needed."""
    break_rule(monkeypatch)
    while not violations(10, first):
        first += 10
        assert first < 3000


@pytest.mark.parametrize("releases", [True, False])
def test_a_dead_holders_lock_is_freed_in_time(releases, runs):
    """By a consumer, or by a command; and not before the holder was silent for long enough."""
    for seed in range(runs // 5):
        run = Run(random.Random(seed), releases, faults=False)
        run.world.advance(60)
        run.holder.killed = True
        run.go(300)
        took = run.freed_at - run.holder.wrote
        assert took >= STALE_AFTER
        # A command comes at most 90 seconds later, and then waits for a watcher's word.
        assert took < STALE_AFTER + (3 * BEAT if releases else 90 + 6 * BEAT)
