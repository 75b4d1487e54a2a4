"""What the judge of the fault run says about runs that are made up."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.faults.judge import DECIDE_SECONDS, Judge
from tests.faults.stored import HolderId
from tests.faults.tally import Phase, table

PID = 7
TASK = "a task"
HOLDER = HolderId("alpha", "pid:[1]", PID, 1, TASK, b"raw")
ENTER = {"kind": "enter", "id": "1", "lock": "it", "task": TASK, "on": "alpha", "pid": PID}
RELEASE = {"kind": "release", "lock": "it", "task_id": TASK, "host": "alpha", "pid": PID}


@dataclass
class Store:
    """A store and processes as a test wants them."""

    locks: dict[str, HolderId] | None = field(default_factory=lambda: {"it": HOLDER})
    runs: bool = True
    record: bool = True
    silent: float | None = 0

    def look_at_processes(self):
        """Nothing to do."""

    def sample(self, now):
        """Return the locks."""
        return self.locks

    def is_running(self, host, pid):
        """Return whether the one process runs."""
        return self.runs

    def is_running_holder(self, holder):
        """Return whether the one process runs."""
        return self.runs

    def has_record(self, holder):
        """Return whether the one process has a record."""
        return self.record

    def silent_for(self, host, pid, now):
        """Return the silence of the one process."""
        return self.silent


class Court:
    """A judge, its store and its clock; the one task is inside of the lock since 100."""

    def __init__(self):
        self.store, self.now, self.phase = Store(), 100.0, Phase("it")
        self.judge = Judge(self.store, 30, 60, self.phase)
        self.look({**ENTER, "worker": "thread", "other": ""})

    def look(self, *events, later=0.0):
        """Let the judge look, after these events."""
        self.now += later
        found = [{"at": self.now, "on": "beta", **event} for event in events]
        self.judge.look(lambda: found, lambda: self.now)

    def later(self, seconds):
        """Let the judge look a few times a second for so long."""
        for _ in range(int(seconds * 2)):
            self.look(later=0.5)

    @property
    def found(self):
        """The figures that are about losses."""
        phase = self.phase
        return phase.cut_off, phase.data_lost, phase.violations


@pytest.fixture
def court():
    """A judge at the start of its run."""
    return Court()


def test_a_lock_that_a_task_leaves_is_nothing(court):
    """A task leaves, and its lock is gone with the next look."""
    court.look({"kind": "leave", "id": "1"}, later=5)
    court.store.locks = {}
    court.later(DECIDE_SECONDS + 1)
    assert (court.found, court.phase.stale) == ((0, 0, 0), 0)


def test_a_lock_that_vanishes_is_a_violation(court):
    """Also where no kit says that it released it."""
    court.store.locks = {}
    court.later(DECIDE_SECONDS + 1)
    assert court.found == (0, 0, 1)
    assert "nothing explains it" in court.judge.violations[0]


def test_a_released_lock_of_a_living_holder_is_a_violation(court):
    """With who released it, also while Redis loses data."""
    court.judge.data_lost(court.now)
    court.look({**RELEASE, "by": "the command"}, later=5)
    court.later(DECIDE_SECONDS + 1)
    assert court.found == (0, 0, 1)
    assert "released by the command" in court.judge.violations[0]


def test_a_second_holder_is_a_violation(court):
    """A task enters while another is inside, and the store shows nothing of it."""
    court.look({**ENTER, "id": "2", "task": "b", "worker": "thread", "other": "1"}, later=1)
    court.later(DECIDE_SECONDS + 1)
    assert (court.phase.clashes, court.found) == (1, (0, 0, 1))


def test_what_redis_loses_is_counted_by_itself(court):
    """No kit released the lock, and the server has lost its data since it was taken."""
    court.judge.data_lost(court.now + 5).append(court.now + 7)
    court.store.locks = {}
    court.later(DECIDE_SECONDS + 1)
    assert court.found == (0, 0, 1)  # it was gone before
    court = Court()
    court.judge.data_lost(court.now).append(court.now + 7)
    court.store.locks = {}
    court.later(DECIDE_SECONDS + 1)
    assert court.found == (0, 1, 0)


@pytest.mark.parametrize(
    ("seconds", "silent", "found"),
    [(31, 31, (1, 0, 0)), (20, 31, (0, 0, 1)), (31, 5, (0, 0, 1)), (31, None, (1, 0, 0))],
)
def test_a_holder_that_was_cut_off_for_long_enough_may_lose_its_lock(court, seconds, silent, found):
    """It takes both: the cut, and a record that has not changed."""
    court.judge.cut("alpha", None, court.now)
    court.later(seconds)
    court.store.silent = silent
    court.look({**RELEASE, "by": "the command"})
    court.later(DECIDE_SECONDS + 1)
    assert court.found == found


@pytest.mark.parametrize(("record", "bound"), [(True, 60), (False, 165)])
def test_a_dead_holders_lock_is_to_be_freed_in_time(court, record, bound):
    """Within ``stale_after`` and 30 seconds; without a record within 135 and 30."""
    court.store.runs, court.store.record = False, record
    court.later(bound)
    assert (court.phase.died, court.phase.stale, court.phase.violations) == (1, 1, 0)
    court.later(2)
    assert court.phase.violations == 1
    court.store.locks = {}
    court.later(1)
    assert court.phase.freed == 1
    assert not court.judge.waiting


def test_the_time_begins_when_the_storage_is_well(court):
    """While it is not, nothing has to be freed."""
    court.judge.unwell()
    court.store.runs = False
    court.later(200)
    court.judge.well(court.now)
    court.later(50)
    court.store.locks = {}
    court.later(1)
    assert (court.phase.freed, court.phase.violations) == (1, 0)
    assert 49 < court.phase.longest < 52


def test_a_lock_that_a_living_process_has_left_is_counted(court):
    """It is no violation: only a lock of a dead holder has to be freed."""
    court.look({"kind": "leave", "id": "1"}, later=5)
    court.later(88)
    assert court.phase.left == 0
    court.later(4)
    assert (court.phase.left, court.phase.stale, court.phase.violations) == (1, 0, 0)
    court.store.runs = False
    court.later(58)
    assert (court.phase.stale, court.phase.violations) == (1, 0)
    court.later(4)
    assert court.phase.violations == 1


def test_the_table_has_a_row_for_each_phase():
    """All rows are of one width."""
    lines = table([Phase("a", held=3, skipped=4), Phase("a longer name")]).split("\n")
    assert len({len(line) for line in lines}) == 1
    assert lines[2].split("|")[5].strip() == "7"
