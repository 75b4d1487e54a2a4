"""The state of a queue at one moment, for ``huey-signals top`` and the web interface."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from .. import LockInfo

EVENTS = ("done", "errors", "skipped", "revoked", "signals")
FIGURES = ("queue", "schedule", "results", "errors", "tokens", "keys", "bytes")


@dataclass(frozen=True)
class SeenTask:
    """A task that a process is running. The fields are those of the JSON output."""

    id: str
    name: str
    seconds: float
    """How long it has been running, by the clocks of this host and of the process's host."""
    about: bool
    """Whether these are two clocks, so that `seconds` is approximate."""


@dataclass(frozen=True)
class SeenProcess:
    """A process with the kit that works on the queue. The fields are those of the JSON output."""

    host: str
    pid: int
    worker: str
    """``"thread"``, ``"process"``, ``"greenlet"`` or ``"scheduler"``; empty for any other."""
    alive: bool | None
    """None while that is unknown."""
    running: tuple[SeenTask, ...]
    unread: int
    """Further tasks in flight in it, whose names are unknown."""
    periodic: tuple[str, ...] = ()
    """The names of the periodic tasks that it enqueues; not in JSON."""


@dataclass(frozen=True)
class SeenLock:
    """A lock that is held, and the tasks that could not acquire it."""

    lock: LockInfo
    recent: int | None
    """Skips in the last `QueueSnapshot.span` seconds; None while that is unknown."""
    turned_away: tuple[tuple[str, int], ...]
    """Names of tasks and how often they were skipped because of the lock, most often first."""


@dataclass(frozen=True)
class EventCount:
    """The count of one kind of event, and its rate."""

    total: int | None
    """Counted by all processes; None if no process counts these events."""
    rate: float | None
    """Events per second; None while that is unknown."""


@dataclass(frozen=True)
class Figure:
    """One measure of the store, and its change since the first update."""

    now: int | None
    """None before the store was read for the first time."""
    change: int | None


@dataclass(frozen=True)
class QueueSnapshot:
    """All that one update shows."""

    queue: str
    at: datetime
    processes: tuple[SeenProcess, ...] = ()
    locks: tuple[SeenLock, ...] = ()
    events: dict[str, EventCount] = field(default_factory=dict)
    """Keys are those in `EVENTS`."""
    span: float | None = None
    """Seconds over which the rates are computed."""
    store: dict[str, Figure] = field(default_factory=dict)
    """Keys are those in `FIGURES`."""
    store_age: float | None = None
    """Seconds since the whole store was read; queue and schedule are always current."""
    locks_age: float | None = None
    """Seconds since the last search for new locks and semaphores; None before the first."""
    unreadable: int = 0
    """Records of the ledger that cannot be read, so that their processes are missing."""

    @property
    def complete(self) -> bool:
        """Whether the whole store was read, and all of its locks were found."""
        return self.store_age is not None and self.locks_age is not None

    def as_dict(self) -> dict[str, Any]:
        """Return the snapshot as plain values, for JSON."""
        return {
            "queue": self.queue,
            "at": self.at.isoformat(timespec="seconds"),
            "processes": [_process_as_dict(process) for process in self.processes],
            "locks": [
                {**seen.lock.as_dict(), "turned_away": dict(seen.turned_away)}
                for seen in self.locks
            ],
            "events": {name: event.total for name, event in self.events.items()},
            "store": {name: figure.now for name, figure in self.store.items()},
            "unreadable": self.unreadable,
        }


def _process_as_dict(process: SeenProcess) -> dict[str, Any]:
    content = asdict(process)
    del content["periodic"]
    return content
