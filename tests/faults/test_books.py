"""What the books of the fault run say about runs that are made up."""

from __future__ import annotations

import pickle

import pytest
from huey.utils import Error

from tests.faults.books import SETTLE_SECONDS, Books
from tests.faults.books import Token as RevokedTask
from tests.faults.contents import Contents
from tests.faults.growth import Growth, Size
from tests.faults.hosts import Process
from tests.faults.tally import Phase

BEGIN = {"kind": "begin", "task": "a", "on": "alpha", "worker": "thread", "pid": 7}
END = {"kind": "end", "task": "a", "on": "alpha", "pid": 7, "error": False}


class Office:
    """Books, with a clock, a store and one process."""

    def __init__(self, is_bare=False):
        self.phase, self.now, self.runs = Phase("it"), 100.0, True
        self.values, self.messages, self.violations = {}, [], []
        report = lambda phase, text: self.violations.append(text)  # noqa: E731
        self.books = Books(self.phase, lambda host, pid: self.runs, report, is_bare)

    def look(self, *events, later=0.0):
        """Look into the store, after these events."""
        self.now += later
        for event in events:
            self.books.event({"at": self.now, **event})
        return self.books.look(Contents(dict(self.values), self.messages, {}), self.now)

    def store(self, task, value):
        """Store the result of a task."""
        self.values[task] = pickle.dumps(value)


@pytest.fixture
def office():
    """Books at the start of a run."""
    return Office()


def error(text):
    """An error as Huey stores it."""
    return Error({"error": text, "traceback": ""})


def test_a_stored_result_is_counted_and_removed(office):
    """The caller of a task has read it."""
    office.store("a", "a")
    assert office.look(END) == ["a"]
    assert (office.phase.results, office.phase.ended, office.violations) == (1, 1, [])


def test_a_missing_result_is_a_violation(office):
    """Once it has had the time to come, and not before."""
    office.look(END)
    office.look(later=SETTLE_SECONDS - 1)
    assert office.violations == []
    office.look(later=2)
    assert len(office.violations) == 1
    assert "the result of task a" in office.violations[0]


@pytest.mark.parametrize("value", ["b", error("ValueError('a')")])
def test_a_wrong_result_is_a_violation(office, value):
    """The result of another task, or an error in place of a result."""
    office.store("a", value)
    office.look(END)
    assert len(office.violations) == 1


def test_the_result_of_a_killed_process_may_be_missing(office):
    """The process ended between the end of the task and the write."""
    office.look(END)
    office.runs = False
    office.look(later=1)
    office.look(later=SETTLE_SECONDS)
    assert (office.phase.lost_killed, office.violations) == (1, [])


@pytest.mark.parametrize(("after", "lost", "wrong"), [(5, 1, 0), (50, 0, 1)])
def test_a_result_may_be_missing_if_the_storage_was_not_well(office, after, lost, wrong):
    """From its end until clients have noticed, and not later."""
    office.books.unwell(office.now)
    office.books.well(office.now, grace=10)
    office.look(END, later=after)
    office.look(later=3 * SETTLE_SECONDS)
    assert (office.phase.lost_stored, len(office.violations)) == (lost, wrong)


@pytest.mark.parametrize(("is_bare", "wrong"), [(False, 1), (True, 0)])
def test_a_stored_lock_error_is_a_violation(is_bare, wrong):
    """With the kit; bare Huey stores them all."""
    office = Office(is_bare)
    office.store("a", error("TaskLockedException('unable to acquire lock x')"))
    office.look()
    assert (office.phase.lock_errors, len(office.violations)) == (1, wrong)


def revoked(office):
    """Revoke the task a, and look."""
    office.books.tokens["a"] = RevokedTask(office.phase)
    office.values["r:a"] = b"x"
    office.look()


def test_a_revoked_task_that_runs_is_a_violation(office):
    """Whether its token is there or not."""
    revoked(office)
    office.look(BEGIN, later=1)
    assert len(office.violations) == 1
    assert "task a ran 1.0 s after it was revoked" in office.violations[0]


def test_a_token_that_vanishes_is_a_violation_if_its_task_waits(office):
    """A task that is nowhere can have been lost, and its token swept."""
    revoked(office)
    del office.values["r:a"]
    office.look(later=1)
    assert office.violations == []
    office = Office()
    revoked(office)
    office.messages = [b"... a ..."]
    del office.values["r:a"]
    office.look(later=1)
    assert office.violations == ["the live token of task a is gone"]


def test_the_token_of_a_skipped_task_may_go(office):
    """The application has written that the task was revoked before the kit deletes it."""
    revoked(office)
    del office.values["r:a"]
    office.messages = [b"a"]
    office.look({"kind": "revoked", "task": "a"}, later=1)
    assert (office.violations, office.books.tokens) == ([], {})


def test_what_the_storage_lost_is_no_violation(office):
    """A token that it lost stops nothing."""
    revoked(office)
    office.books.losing()
    office.books.lost(office.now + 1)
    del office.values["r:a"]
    office.look(BEGIN, later=2)
    assert office.violations == []


@pytest.mark.parametrize(("count", "wrong"), [(1, 0), (2, 1)])
def test_a_count_beyond_what_happened_is_a_violation(office, count, wrong):
    """Fewer may be counted: those of a process that was killed are lost."""
    office.look(END)
    office.books.check_counts({("huey_signals_total", "q", "work", "complete"): count})
    assert len(office.violations) == wrong


def test_a_process_that_grows_is_a_violation(monkeypatch):
    """After it has settled, and over a span that says something."""
    growth, process = Growth(), Process(1, "pid:[1]", 1, 1)
    sizes = iter([Size(60, 4, 20, 50.0), Size(400, 4, 20, 60.0), Size(500, 4, 40, 60.0)])
    monkeypatch.setattr(Size, "read", lambda pid, now: next(sizes))
    for now in (0, 60, 400):
        growth.look([process], now)
    assert growth.grown() == []
    assert "+0 threads, +0 descriptors, +10 MB" in growth.summary()
    growth.look([process], 500)
    assert "from 4 threads, 20 fds, 50 MB to 4 threads, 40 fds, 60 MB" in growth.grown()[0]
