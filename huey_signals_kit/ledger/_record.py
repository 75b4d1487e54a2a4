"""The record of one process in the ledger: its fields, and their stored form (JSON).

Other versions of the package, and other programs, may write to the same storage. So a stored value
is checked field by field when it is read, and one that does not match counts as unreadable, never
as a record with fewer tasks or locks. Fields are only ever added: a reader of an older version
ignores them, and a record that lacks them has their defaults.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..inflight.tasks import RunningTask
from ..metrics import serialize
from ..metrics.values import Totals
from ..runtime.process_id import FOREIGN_DATA_ERRORS, ProcessId, parse_process
from ._failure_detector import STALE_AFTER, SilenceNote

_VERSION = 1

_MAX_PARTS = 1_000_000
"""Values in the JSON of a record, at most; the kit writes far fewer."""

_LARGEST_NUMBER = 2**63 - 1


class LockSkip(NamedTuple):
    """A task that was skipped because its lock was held."""

    task_id: str
    lock: str
    """The name of the lock; empty if the error does not have it."""
    at: float
    """When, in seconds since the epoch, by the clock of that host."""


MAX_SKIPS = 50
"""Number of lock skips that a process keeps in its record."""


MAX_PERIODIC = 100
"""Number of periodic tasks that a record names."""


@dataclass(frozen=True)
class Heartbeat:
    """The record of one process: what it does now, and all that it has counted.

    The process replaces it with every heartbeat.
    """

    id: str
    """A random id, not the pid, which another process may have tomorrow."""
    process: ProcessId
    """The process."""
    worker: str = ""
    """The kind of worker.

    ``"thread"``, ``"process"`` or ``"greenlet"``; ``"scheduler"`` for a process with Huey's
    scheduler but no worker; empty for any other.
    """
    started: float = 0.0
    """When the process started, by the clock of that host."""
    sequence: int = 0
    """The number of this heartbeat."""
    running: tuple[RunningTask, ...] = ()
    waiting: tuple[str, ...] = ()
    """The ids of tasks that do not run, and that only this process has: see `pending_ids`."""
    unread: int = 0
    """The number of further tasks in flight, whose messages cannot be read."""
    locks: tuple[str, ...] = ()
    """The names of the locks that the process holds."""
    skips: tuple[LockSkip, ...] = ()
    """The last `MAX_SKIPS` lock skips, oldest first."""
    stale_after: float = STALE_AFTER
    """Seconds of silence after which the process counts as dead; 0 in a record of version 0.1."""
    incarnation: int = 0
    """Grows with each ``exec`` of the process, see `INCARNATION`; 0 if unknown."""
    notes: tuple[SilenceNote, ...] = ()
    """The silences of other processes that this one observes."""
    periodic: tuple[str, ...] = ()
    """The names of the periodic tasks that the scheduler of the process enqueues, at most
    `MAX_PERIODIC`; stored only if there are any."""
    counters: Totals = field(default_factory=dict)
    """What the process has counted under this id."""
    sealed: bool = False
    """Whether this is the last record under this id.

    A sealed record never changes again, and its counters are being added to the totals.
    """

    @property
    def host(self) -> str:
        """The name of the host."""
        return self.process.host

    @property
    def pid(self) -> int:
        """The pid of the process."""
        return self.process.pid

    @property
    def ids(self) -> set[str]:
        """The ids of all tasks in flight and of the tasks nested in them."""
        running = {id_ for task in self.running for id_ in (task.task_id, *task.nested)}
        return running.union(self.waiting)

    def dump(self) -> bytes:
        """Return the stored form."""
        process = self.process
        content = {
            "version": _VERSION,
            "id": self.id,
            "place": [process.host, process.pid_namespace, process.pid, process.start_time],
            "worker": self.worker,
            "started": self.started,
            "sequence": self.sequence,
            "running": [[t.task_id, t.task_name, t.since, t.nested] for t in self.running],
            "waiting": self.waiting,
            "unread": self.unread,
            "locks": self.locks,
            "skips": self.skips,
            "stale_after": self.stale_after,
            "incarnation": self.incarnation,
            "notes": self.notes,
            "sealed": self.sealed,
            **({"periodic": self.periodic} if self.periodic else {}),
            **serialize.dump(self.counters),
        }
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def try_load(raw: bytes) -> Heartbeat | None:
    """Parse what `Heartbeat.dump` returned; return None if it is anything else."""
    try:
        return _load(raw)
    except FOREIGN_DATA_ERRORS:
        return None


def parsed(raw: bytes) -> Any:
    """Parse JSON, of a bounded size.

    Raises:
        ValueError: `raw` is not JSON, or has more parts than the kit ever writes: parsing it could
            take gigabytes of memory.
    """
    if sum(map(raw.count, (b",", b"[", b"{"))) > _MAX_PARTS:
        raise ValueError(f"more than {_MAX_PARTS:,} parts")
    return json.loads(raw.decode("ascii"))


def _load(raw: bytes) -> Heartbeat:
    content = parsed(raw)
    if content["version"] != _VERSION:
        raise ValueError(f"the version {content['version']!r}")
    return Heartbeat(
        id=_text(content["id"]),
        process=parse_process(*content["place"]),
        worker=_text(content["worker"]),
        started=_number(content["started"]),
        sequence=_whole(content["sequence"]),
        running=tuple(_running(*item) for item in content["running"]),
        waiting=tuple(map(_text, content["waiting"])),
        unread=_whole(content["unread"]),
        locks=tuple(map(_text, content["locks"])),
        # A record of version 0.1 does not have the next five.
        skips=tuple(_skip(*item) for item in content.get("skips", ())),
        stale_after=_number(content.get("stale_after", 0)),
        incarnation=_whole(content.get("incarnation", 0)),
        notes=tuple(_note(*item) for item in content.get("notes", ())),
        periodic=tuple(map(_text, content.get("periodic", ()))),
        counters=serialize.load(content),
        sealed=bool(content["sealed"]),
    )


def _running(task_id: Any, name: Any, since: Any, nested: Any) -> RunningTask:
    return RunningTask(_text(task_id), _text(name), _number(since), tuple(map(_text, nested)))


def _skip(task_id: Any, lock: Any, at: Any) -> LockSkip:
    return LockSkip(_text(task_id), _text(lock), _number(at))


def _note(peer: Any, value: Any, seconds: Any) -> SilenceNote:
    return _text(peer), _text(value), _whole(seconds)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of a string")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{type(value).__name__} instead of a number")
    if not math.isfinite(value):
        raise ValueError("a number that is not finite")
    return float(value)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST_NUMBER:
        raise ValueError("no whole number, or out of range")
    return value
