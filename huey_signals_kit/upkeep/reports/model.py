"""The data classes of a report; their field names are the keys of its JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class KindTotal:
    """The keys of one kind."""

    keys: int = 0
    """The number of keys."""
    bytes: int = 0
    """The bytes of the keys and of their values."""


@dataclass
class TokenCounts:
    """The revoke tokens; each is live, custom or orphaned."""

    live: int = 0
    """Tokens whose task can still run."""
    custom: int = 0
    """Tokens of ids that Huey has not made, whose tasks may be enqueued at any time."""
    orphaned: int = 0
    """Tokens of tasks that were found nowhere."""
    marked: int = 0
    """Orphaned tokens that a sweep has found, and a later one will delete."""
    oldest_mark: str | None = None
    """The time of the oldest mark, in ISO format."""
    last_sweep: str | None = None
    """The end of the last sweep that was applied; in JSON only if it is known."""


@dataclass
class PauseCounts:
    """Pause switches of whole tasks."""

    active: list[str] = field(default_factory=list)
    """Names of tasks that are paused."""
    expired: list[str] = field(default_factory=list)
    """Names of tasks whose pause is over."""
    ownerless: list[str] = field(default_factory=list)
    """Names of tasks that this Huey does not have: their modules are imported, or do not exist."""
    unknown: list[str] = field(default_factory=list)
    """Names of tasks that may exist, because their modules are not imported here."""


@dataclass
class LockCounts:
    """The locks in the store, without semaphores."""

    held: int = 0
    """The number of all locks."""
    stale: int = 0
    """Locks whose holder is dead."""
    unclaimed: int = 0
    """Locks whose holder is unknown, or in doubt."""


@dataclass
class Schedule:
    """The messages in the schedule."""

    length: int = 0
    """The number of messages."""
    first: str | None = None
    """The time of the first message, in ISO format without a zone, as Huey stores it."""
    last: str | None = None
    """The time of the last message."""


@dataclass
class Consumer:
    """A process that has written to the ledger."""

    host: str
    pid: int
    worker: str
    """``"thread"``, ``"process"``, ``"greenlet"`` or ``"scheduler"``; empty if it runs none."""
    started: str
    """When it started, by the clock of its host, in ISO format."""
    alive: bool | None
    """Whether it is alive; None if that is in doubt."""
    running: list[dict[str, Any]]
    """The ``id`` and the ``task`` name of each running task."""
    periodic: list[str] = field(default_factory=list)
    """The names of the periodic tasks that it enqueues; in JSON only if there are any."""


@dataclass
class UnreadableCounts:
    """The stored data that cannot be read; the kit leaves it alone."""

    values: int = 0
    """Results, errors and tokens."""
    messages: int = 0
    """Messages of the queue and the schedule."""
    records: list[str] = field(default_factory=list)
    """The names of records in the ledger."""


@dataclass
class Report:
    """The state of a queue, read while other processes work on it.

    So its numbers are from slightly different times, and need not match exactly.
    """

    queue: str
    """The name of the Huey."""
    storage: str
    """The name of the storage's class."""
    serializer: str
    """The name of the serializer's class."""
    trusted_serializer: bool
    """Whether the serializer is the user's own; then values are read by it."""
    kinds: dict[str, KindTotal] = field(default_factory=dict)
    """The keys of each kind. The kinds of Django's own tasks are there if this process has declared
    the task that runs these, or a key of the kind was found."""
    errors: dict[str, int] = field(default_factory=dict)
    """The number of stored errors by the name of their class, those of Django tasks included."""
    kept: dict[str, int] = field(default_factory=dict)
    """The number of errors among them that were stored on purpose."""
    expiring: dict[str, int] = field(default_factory=dict)
    """The number of errors among them that will be deleted when their time is over; in JSON only if
    there are any."""
    tokens: TokenCounts = field(default_factory=TokenCounts)
    pauses: PauseCounts = field(default_factory=PauseCounts)
    locks: LockCounts = field(default_factory=LockCounts)
    queue_length: int = 0
    schedule: Schedule = field(default_factory=Schedule)
    counters: list[dict[str, Any]] = field(default_factory=list)
    """Everything that the processes of the queue have counted, also processes that have ended."""
    consumers: list[Consumer] = field(default_factory=list)
    unreadable: UnreadableCounts = field(default_factory=UnreadableCounts)
    seconds: float = 0.0
    """The duration of the work."""

    @property
    def has_consumer(self) -> bool:
        """Whether a consumer with the kit is known, alive or dead."""
        return any(consumer.worker for consumer in self.consumers)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        content = asdict(self)
        if not self.expiring:
            del content["expiring"]
        if self.tokens.last_sweep is None:
            del content["tokens"]["last_sweep"]
        for consumer in content["consumers"]:
            if not consumer["periodic"]:
                del consumer["periodic"]
        return content
