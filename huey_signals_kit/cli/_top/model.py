"""What one look of ``huey-signals top`` has found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from ...upkeep import LockInfo

EVENTS = ("done", "errors", "skipped", "revoked", "signals")
FIGURES = ("queue", "schedule", "results", "errors", "tokens", "keys", "bytes")


@dataclass(frozen=True)
class SeenTask:
    """A task that a process is running."""

    id: str
    name: str
    seconds: float
    """For how long, by this host's clock and that of the process's host."""
    about: bool
    """Whether these are two clocks."""


@dataclass(frozen=True)
class SeenProcess:
    """A process that has said that it works on the queue."""

    host: str
    pid: int
    worker: str
    """``"thread"``, ``"process"``, ``"greenlet"`` or ``"scheduler"``; empty for any other."""
    alive: bool | None
    """None when that cannot be told yet."""
    running: tuple[SeenTask, ...]
    unread: int
    """How many more tasks it has in hand, which it cannot name."""


@dataclass(frozen=True)
class SeenLock:
    """A lock that is held, and the tasks that could not get it."""

    lock: LockInfo
    recent: int | None
    """How many skips in the last `QueueSnapshot.span` seconds; None where that is not known yet."""
    turned_away: tuple[tuple[str, int], ...]
    """Tasks by name and how often they were skipped on it, most often first."""


@dataclass(frozen=True)
class Event:
    """One kind of event."""

    total: int | None
    """How many all processes have counted; None where nobody counts these."""
    rate: float | None
    """How many a second; None where that is not known, or not yet."""


@dataclass(frozen=True)
class Figure:
    """One measure of the store, and how it has changed since the first look."""

    now: int | None
    """None before the store was read for the first time."""
    change: int | None


@dataclass(frozen=True)
class QueueSnapshot:
    """All that one look has found."""

    queue: str
    at: datetime
    processes: tuple[SeenProcess, ...] = ()
    locks: tuple[SeenLock, ...] = ()
    events: dict[str, Event] = field(default_factory=dict)
    """By `EVENTS`."""
    span: float | None = None
    """Over how many seconds the rates are taken."""
    store: dict[str, Figure] = field(default_factory=dict)
    """By `FIGURES`."""
    store_age: float | None = None
    """How many seconds ago the store was read whole; queue and schedule are of this moment."""
    locks_age: float | None = None
    """Seconds since the last search for new locks and semaphores; None before the first."""
    unreadable: int = 0
    """How many records of the ledger cannot be read; what they say is missing."""

    @property
    def complete(self) -> bool:
        """Whether the whole store was read, and all of its locks were found."""
        return self.store_age is not None and self.locks_age is not None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "queue": self.queue,
            "at": self.at.isoformat(timespec="seconds"),
            "processes": [asdict(each) for each in self.processes],
            "locks": [
                {**each.lock.as_dict(), "turned_away": dict(each.turned_away)}
                for each in self.locks
            ],
            "events": {name: each.total for name, each in self.events.items()},
            "store": {name: each.now for name, each in self.store.items()},
            "unreadable": self.unreadable,
        }
