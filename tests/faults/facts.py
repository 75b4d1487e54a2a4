"""What the judge of a fault run remembers: acquisitions, values of locks, and losses."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.stored import HolderId
from tests.faults.tally import Phase

Key = tuple[str, str, str, int]
"""A lock, and the task, host and process number that took it."""


@dataclass
class Acquisition:
    """A lock that a task took."""

    id: str
    lock: str
    task: str
    host: str
    pid: int
    at: float
    worker: str
    left: float | None = None
    died: float | None = None
    lost_in: Phase | None = None

    @property
    def key(self) -> Key:
        """Return what the lock's own value says of it."""
        return self.lock, self.task, self.host, self.pid

    @property
    def active(self) -> bool:
        """Whether its task is inside."""
        return self.left is None and self.died is None


@dataclass
class Value:
    """A value of a lock, as long as it is in the store without a break."""

    lock: str
    holder: HolderId
    seen: float
    dead: bool = False
    """Whether its holder is dead."""
    since: float = 0
    """When its holder died, or when its task ended without freeing it."""
    has_record: bool | None = None
    phase: Phase | None = None
    late: bool = False


@dataclass
class Loss:
    """A task that was inside of a lock which it had no longer."""

    acquisition: Acquisition
    at: float
    phase: Phase
    how: str
    silent: float | None
