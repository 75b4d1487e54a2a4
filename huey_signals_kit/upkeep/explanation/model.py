"""What is told of one task."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from ..locks.info import LockInfo

SCHEDULE, QUEUE, RUNNING, DUE = "schedule", "queue", "running", "due"
STAGE, HANDLER, CALLBACK = "stage", "error handler", "chord callback"
ARGUMENT = "argument"
NESTED = "nested"


@dataclass(frozen=True)
class Place:
    """One place where a task was found."""

    where: str
    """``"schedule"``, ``"queue"``, ``"running"``, or ``"due"``: a process has taken it from the
    schedule or the queue, and does not run it yet, or not any more."""
    task_name: str
    """The task that stands there: its own, or the one that leads to it; empty where it is due."""
    task_id: str
    path: tuple[str, ...] = ()
    """How that task leads to it, from its outside inwards; empty for the task itself.

    ``"stage"``, ``"error handler"`` and ``"chord callback"``; ``"argument"`` where no more than
    its id stands there; ``"nested"`` where nobody can say which of all these it is."""
    before: int | None = None
    """In the queue: how many tasks come before it, while nobody adds one."""
    before_most: int | None = None
    """The same, where the order is not known: no more than so many."""
    eta: datetime | None = None
    """When it is scheduled for, in the time of its Huey, without a zone."""
    since: datetime | None = None
    """When its process was first seen running it, by the clock of that host."""
    host: str | None = None
    pid: int | None = None
    alive: bool | None = None
    """Whether that process lives; None when that cannot be told yet."""


@dataclass(frozen=True)
class Revocation:
    """What keeps a task from running."""

    key: str
    """``r:ID`` for the task's own token, ``rt:NAME`` for the pause switch of all of its name."""
    until: datetime | None = None
    once: bool = False
    over: bool = False
    """Whether `until` is past, so that it keeps nothing from running."""
    readable: bool = True


@dataclass(frozen=True)
class Chord:
    """A chord that the task has to do with."""

    chord_id: str
    size: int
    """How many parts it has."""
    part: int | None = None
    """Which of them the task is, or ends in; from 1. None for its callback."""
    done: int | None = None
    """How many parts are done; None if there are too many to look."""


@dataclass(frozen=True)
class StoredResult:
    """What stands in the store as the result of a task."""

    kind: str
    """``"value"``, ``"error"`` or ``"unreadable"``."""
    size: int
    """In bytes, as it is stored."""
    class_name: str | None = None
    """The class of the value, or of the error; None if it is unreadable."""
    text: str | None = None
    """It as text; None if it is too long."""
    of_task: str | None = None
    """The id of the task that the error is of, if that is another one: an earlier stage."""


@dataclass(frozen=True)
class Skipped:
    """An attempt of the task that did not get its lock."""

    at: datetime
    """When, by the clock of `host`."""
    lock: str
    """The name of the lock; empty if the error did not have it."""
    host: str
    pid: int


@dataclass
class Looked:
    """Where it was looked for."""

    scheduled: int = 0
    queued: int = 0
    unreadable: int = 0
    """How many of these messages cannot be read: it may stand in one of them."""
    workers: int = 0
    """How many processes have said that they work on the queue, and are not known dead."""
    records: int = 0
    """How many processes have said what cannot be read."""
    untold: int = 0
    """How many tasks are running of which it cannot be told what they lead to."""


@dataclass
class Explanation:
    """All that is known of one task."""

    task_id: str
    queue: str
    storage: str
    utc: bool
    """Whether times without a zone are UTC; else they are the local time of the consumers."""
    now: datetime
    """When it was looked for, in the time of its Huey."""
    task_name: str | None = None
    places: list[Place] = field(default_factory=list)
    more: int = 0
    """How many more places there are."""
    chords: list[Chord] = field(default_factory=list)
    tokens: list[Revocation] = field(default_factory=list)
    locks: list[LockInfo] = field(default_factory=list)
    """Those that it holds."""
    skipped: list[Skipped] = field(default_factory=list)
    """Its recent lock skips that are still in heartbeats, oldest first."""
    skips: dict[str, int] = field(default_factory=dict)
    """How often tasks of this name could not get which lock; not only this one."""
    result: StoredResult | None = None
    looked: Looked = field(default_factory=Looked)
    alike: list[str] = field(default_factory=list)
    """Ids that stand somewhere and look like this one."""

    @property
    def known(self) -> bool:
        """Whether anything knows it."""
        return bool(self.places or self.tokens or self.locks or self.result or self.skipped)

    def as_dict(self) -> dict[str, Any]:
        """The same in plain values, for JSON."""
        found = asdict(self, dict_factory=_plain)
        return {**found, "locks": [each.as_dict() for each in self.locks], "known": self.known}


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in items
    }
