"""The data classes of an explanation; their field names are the keys of its JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from ..locks.info import LockInfo

SCHEDULE, QUEUE, RUNNING, DUE = "schedule", "queue", "running", "due"
STAGE, HANDLER, CALLBACK = "stage", "error handler", "chord callback"
ARGUMENT = "argument"
NESTED = "nested"


@dataclass(frozen=True)
class Location:
    """A place where a task was found."""

    where: str
    """``"schedule"``, ``"queue"``, ``"running"``, or ``"due"``: a process has dequeued it or read
    it from the schedule, and does not run it yet, or no longer runs it."""
    task_name: str
    """The name of the task there: of the task itself, or of the task that leads to it; empty if
    `where` is ``"due"``."""
    task_id: str
    """The id of the task there."""
    path: tuple[str, ...] = ()
    """How the task there leads to the task, from outside to inside; empty for the task itself.

    The steps are ``"stage"``, ``"error handler"`` and ``"chord callback"``; ``"argument"`` if only
    the id of the task is there; ``"nested"`` if the kind of nesting is unknown."""
    before: int | None = None
    """In the queue: the number of tasks that are dequeued before it, if none is added."""
    before_most: int | None = None
    """An upper bound of `before`, where the storage does not define the order."""
    eta: datetime | None = None
    """The time for which it is scheduled, without a zone, in the time of its Huey."""
    since: datetime | None = None
    """When a heartbeat first found it running, by the clock of that host."""
    host: str | None = None
    """The host of the process that runs or has dequeued it."""
    pid: int | None = None
    """The process id of that process."""
    alive: bool | None = None
    """Whether that process is alive; None if that is in doubt."""


@dataclass(frozen=True)
class Revocation:
    """A revoke token or a pause switch of the task."""

    key: str
    """``r:ID`` for a token of the task; ``rt:NAME`` for a switch of all tasks of its name."""
    until: datetime | None = None
    """When it expires, without a zone, in the time of its Huey; None if it does not expire."""
    once: bool = False
    """Whether it stops only the next run."""
    over: bool = False
    """Whether `until` is past, so that it stops nothing."""
    readable: bool = True
    """Whether its value can be read."""


@dataclass(frozen=True)
class Chord:
    """A chord of which the task is a part or the callback."""

    chord_id: str
    size: int
    """The number of its parts."""
    part: int | None = None
    """The number of the part that the task is, or leads to, from 1; None for the callback."""
    done: int | None = None
    """The number of parts that are complete; None if there are too many to count."""


@dataclass(frozen=True)
class StoredResult:
    """The stored result of the task."""

    kind: str
    """``"value"``, ``"error"`` or ``"unreadable"``; ``"status"`` for a Django task that has not
    ended, as far as its record says."""
    size: int
    """The size of the stored value in bytes."""
    class_name: str | None = None
    """The class of the value or of the error; None if it cannot be read."""
    text: str | None = None
    """The value, the error or the status as text; None if that is too long."""
    of_task: str | None = None
    """For an error of another task, an earlier stage: the id of that task."""


class Arguments(NamedTuple):
    """The arguments of the task; an object of a class that the kit does not know is `Opaque`."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class SkippedAttempt:
    """An attempt of the task that did not get its lock."""

    at: datetime
    """When, by the clock of `host`."""
    lock: str
    """The name of the lock; empty if the error did not have it."""
    host: str
    pid: int


@dataclass
class SearchCounts:
    """What was searched for the task."""

    scheduled: int = 0
    """Messages in the schedule."""
    queued: int = 0
    """Messages in the queue."""
    unreadable: int = 0
    """Messages that cannot be read, so that the task may be in one of them."""
    workers: int = 0
    """Processes that run workers, and are not known to be dead."""
    records: int = 0
    """Records of processes that cannot be read."""
    untold: int = 0
    """Running tasks whose nested ids are unknown to their process."""


@dataclass
class Explanation:
    """Everything that is known of one task."""

    task_id: str
    queue: str
    """The name of the Huey."""
    storage: str
    """The name of the storage's class."""
    utc: bool
    """Whether times without a zone are UTC; otherwise they are local time of the consumers."""
    now: datetime
    """The time of the search, in the time of its Huey."""
    task_name: str | None = None
    """``module.name`` of the task, if it was found."""
    places: list[Location] = field(default_factory=list)
    more: int = 0
    """The number of further places, which are not listed."""
    chords: list[Chord] = field(default_factory=list)
    tokens: list[Revocation] = field(default_factory=list)
    locks: list[LockInfo] = field(default_factory=list)
    """The locks that it holds."""
    skipped: list[SkippedAttempt] = field(default_factory=list)
    """Its recent lock skips that are still in heartbeats, oldest first."""
    skips: dict[str, int] = field(default_factory=dict)
    """By lock: the number of skips of all tasks with this name."""
    result: StoredResult | None = None
    looked: SearchCounts = field(default_factory=SearchCounts)
    alike: list[str] = field(default_factory=list)
    """Similar ids that were found, in case the given id has a typing error."""
    arguments: Arguments | None = field(default=None, repr=False)
    """Its arguments, if its message or its record of Django is stored. They may be secret, so they
    are in no text and not in JSON."""

    @property
    def known(self) -> bool:
        """Whether the task was found anywhere."""
        return bool(self.places or self.tokens or self.locks or self.result or self.skipped)

    @property
    def has_ended(self) -> bool:
        """Whether the task has a result."""
        return self.result is not None and self.result.kind != "status"

    def as_dict(self) -> dict[str, Any]:
        """Return the explanation as plain values for JSON."""
        # Arguments may be of any class, so they are not copied either.
        fields = asdict(replace(self, arguments=None), dict_factory=_plain)
        del fields["arguments"]
        return {**fields, "locks": [lock.as_dict() for lock in self.locks], "known": self.known}


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in items
    }
