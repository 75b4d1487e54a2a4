"""What one process says of itself, as it stands in the ledger."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..inflight.tasks import Running
from ..metrics import serialize
from ..metrics.values import Totals
from ..runtime.process_id import FOREIGN_DATA_ERRORS, LARGEST_PID, ProcessId
from ._failure_detector import STALE_AFTER, SilenceNote

_VERSION = 1
_MOST_PARTS = 1_000_000
_LARGEST_NUMBER = 2**63 - 1


class LockSkip(NamedTuple):
    """A task that could not get its lock."""

    task_id: str
    lock: str
    """The name of the lock; empty if the error does not have it."""
    at: float
    """When, in seconds since the epoch, by that host's clock."""


MOST_SKIPS = 50
"""Number of lock skips that a process keeps in its record."""


@dataclass(frozen=True)
class Heartbeat:
    """One process: what it does now, and all that it has counted."""

    id: str
    place: ProcessId
    worker: str = ""
    """``"thread"``, ``"process"`` or ``"greenlet"``, ``"scheduler"`` for one without a worker but
    with the scheduler; empty for any other."""
    started: float = 0.0
    """By that host's clock."""
    sequence: int = 0
    running: tuple[Running, ...] = ()
    waiting: tuple[str, ...] = ()
    """The ids of tasks that do not run, and stand nowhere but in this process."""
    unread: int = 0
    """How many more tasks it has in hand, of which it cannot tell what they lead to."""
    locks: tuple[str, ...] = ()
    skips: tuple[LockSkip, ...] = ()
    """The last `MOST_SKIPS` lock skips, oldest first."""
    stale_after: float = STALE_AFTER
    """Seconds of silence after which the process counts as dead; 0 in a record of version 0.1."""
    incarnation: int = 0
    """Grows with each ``exec`` of the process, see `INCARNATION`; 0 if unknown."""
    notes: tuple[SilenceNote, ...] = ()
    """The silent peers that the process watches."""
    counters: Totals = field(default_factory=dict)
    sealed: bool = False
    """Its last: it is never replaced, and its counters go into the totals."""

    @property
    def host(self) -> str:
        """The name of its host."""
        return self.place.host

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.place.pid

    @property
    def ids(self) -> set[str]:
        """The ids of its running tasks, all that are nested in them, and those that wait."""
        running = {each for task in self.running for each in (task.task_id, *task.nested)}
        return running.union(self.waiting)

    def dump(self) -> bytes:
        """As it is stored."""
        place = self.place
        content = {
            "version": _VERSION,
            "id": self.id,
            "place": [place.host, place.pid_namespace, place.pid, place.start_time],
            "worker": self.worker,
            "started": self.started,
            "sequence": self.sequence,
            "running": [[e.task_id, e.task_name, e.since, e.nested] for e in self.running],
            "waiting": self.waiting,
            "unread": self.unread,
            "locks": self.locks,
            "skips": self.skips,
            "stale_after": self.stale_after,
            "incarnation": self.incarnation,
            "notes": self.notes,
            "sealed": self.sealed,
            **serialize.dump(self.counters),
        }
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def try_load(raw: bytes) -> Heartbeat | None:
    """What `Heartbeat.dump` has made; None if it is anything else."""
    try:
        return _load(raw)
    except FOREIGN_DATA_ERRORS:
        return None


def parsed(raw: bytes) -> Any:
    """The JSON in *raw*; `ValueError` for so much of it that nobody of ours has written it."""
    if sum(map(raw.count, (b",", b"[", b"{"))) > _MOST_PARTS:
        raise ValueError(f"more than {_MOST_PARTS:,} parts")
    return json.loads(raw.decode("ascii"))


def _load(raw: bytes) -> Heartbeat:
    content = parsed(raw)
    if content["version"] != _VERSION:
        raise ValueError(f"the version {content['version']!r}")
    return Heartbeat(
        id=_text(content["id"]),
        place=_place(*content["place"]),
        worker=_text(content["worker"]),
        started=_number(content["started"]),
        sequence=_whole(content["sequence"]),
        running=tuple(_running(*each) for each in content["running"]),
        waiting=tuple(map(_text, content["waiting"])),
        unread=_whole(content["unread"]),
        locks=tuple(map(_text, content["locks"])),
        # Records of 0.1 have none.
        skips=tuple(_skip(*each) for each in content.get("skips", ())),
        stale_after=_number(content.get("stale_after", 0)),
        incarnation=_whole(content.get("incarnation", 0)),
        notes=tuple(_note(*each) for each in content.get("notes", ())),
        counters=serialize.load(content),
        sealed=bool(content["sealed"]),
    )


def _running(task_id: Any, name: Any, since: Any, nested: Any) -> Running:
    return Running(_text(task_id), _text(name), _number(since), tuple(map(_text, nested)))


def _skip(task_id: Any, lock: Any, at: Any) -> LockSkip:
    return LockSkip(_text(task_id), _text(lock), _number(at))


def _note(peer: Any, value: Any, seconds: Any) -> SilenceNote:
    return _text(peer), _text(value), _whole(seconds)


def _place(host: Any, pid_namespace: Any, pid: Any, start_time: Any) -> ProcessId:
    if not 0 < _whole(pid) <= LARGEST_PID:
        raise ValueError(f"the process id {pid!r}")
    return ProcessId(_text(host), _text(pid_namespace), pid, _whole(start_time))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text where one should be")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError("no number where one should be")
    if not math.isfinite(value):
        raise ValueError("no number where one should be")
    return float(value)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST_NUMBER:
        raise ValueError("no whole number where one should be")
    return value
