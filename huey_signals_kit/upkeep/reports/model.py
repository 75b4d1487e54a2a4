"""What a report is made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class KindTotal:
    """How many keys of one kind, and the bytes of these with their values."""

    keys: int = 0
    bytes: int = 0


@dataclass
class TokenCounts:
    """Revoke tokens; those of tasks that stand nowhere are orphaned, some of them marked."""

    live: int = 0
    custom: int = 0
    """Of ids that Huey has not made, whose tasks may be enqueued any time."""
    orphaned: int = 0
    marked: int = 0
    """Orphans that one sweep has found: a later one deletes them."""
    oldest_mark: str | None = None


@dataclass
class PauseCounts:
    """Pause switches of whole tasks."""

    active: list[str] = field(default_factory=list)
    """Names of tasks that are paused."""
    expired: list[str] = field(default_factory=list)
    """Names of tasks whose pause is over."""
    ownerless: list[str] = field(default_factory=list)
    """Names of tasks that this Huey does not have: their modules are imported, or missing."""
    unknown: list[str] = field(default_factory=list)
    """Names of tasks that may exist, because their modules are not imported here."""


@dataclass
class LockCounts:
    """Locks in the store, without semaphores."""

    held: int = 0
    """All of them."""
    stale: int = 0
    """Those whose holder's process is dead."""
    unclaimed: int = 0
    """Those of which nobody can say whether their holder lives."""


@dataclass
class Schedule:
    """The messages of the schedule; moments in ISO format, as naive as Huey's own."""

    length: int = 0
    first: str | None = None
    last: str | None = None


@dataclass
class Consumer:
    """A process that has written to the ledger."""

    host: str
    pid: int
    worker: str
    """``"thread"``, ``"process"`` or ``"greenlet"``; empty for one that runs no worker."""
    started: str
    alive: bool | None
    """None when that cannot be told from here."""
    running: list[dict[str, Any]]


@dataclass
class UnreadableCounts:
    """What could not be read: all of it is left alone."""

    values: int = 0
    messages: int = 0
    records: list[str] = field(default_factory=list)
    """Of the ledger."""


@dataclass
class Report:
    """One look at a queue; made while others work on it, so no more exact than that."""

    queue: str
    storage: str
    serializer: str
    trusted_serializer: bool
    """Whether the serializer is the user's own: what it reads is read as it does."""
    kinds: dict[str, KindTotal] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    """Stored errors by the name of their class."""
    kept: dict[str, int] = field(default_factory=dict)
    """Of these, errors that were stored on purpose."""
    tokens: TokenCounts = field(default_factory=TokenCounts)
    pauses: PauseCounts = field(default_factory=PauseCounts)
    locks: LockCounts = field(default_factory=LockCounts)
    queue_length: int = 0
    schedule: Schedule = field(default_factory=Schedule)
    counters: list[dict[str, Any]] = field(default_factory=list)
    """All that the processes of the queue have counted, those that are gone included."""
    consumers: list[Consumer] = field(default_factory=list)
    unreadable: UnreadableCounts = field(default_factory=UnreadableCounts)
    seconds: float = 0.0

    @property
    def has_consumer(self) -> bool:
        """Whether a consumer with the kit is known, alive or dead."""
        return any(each.worker for each in self.consumers)

    def as_dict(self) -> dict[str, Any]:
        """The same in plain values, for JSON."""
        return asdict(self)
