"""What each page shows, as plain data; the templates and the JSON are made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from itertools import zip_longest
from socket import gethostname
from typing import Any

from ..ledger import History, history_label
from ..metrics.labels import fold, sanitize_label
from ..metrics.names import LOCK_SKIPS, SIGNALS_TOTAL, TASK_SECONDS
from ..metrics.values import Durations
from ..upkeep import LockInfo
from ..upkeep.monitor.model import SeenLock, SeenProcess
from ._queue import MAX_ROWS, ORDER, QueueState

HOUR_MINUTES, MINUTES = 60, 180
MAX_TASKS = 20
"""Running tasks of a process that are listed."""

ENDS = ("complete", "error", "locked", "timeout", "canceled", "interrupted", "rate-limited")
"""Signals with which an attempt ends; Huey sends one of them for each."""

_MAX_FOLDED = 4096


@dataclass(frozen=True)
class LockRow:
    """A lock as the pages show it."""

    lock: LockInfo
    seconds: float | None
    """How long it has been held."""
    is_remote: bool
    """Whether `seconds` is by the clock of another host."""
    state: str
    """``alive``, ``dead`` or ``unknown``."""
    evidence: str
    """What `state` rests on."""
    refused: list[int]
    """Refused attempts to acquire it, or a lock with the same folded name, for each of the last 180
    minutes."""
    tasks: tuple[tuple[str, int], ...]
    """Tasks that were skipped because of it, most often first."""

    @property
    def last_hour(self) -> int:
        """Refused attempts of the last hour, of all locks with the same folded name."""
        return sum(self.refused[-HOUR_MINUTES:])

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            **self.lock.as_dict(),
            "state": self.state,
            "evidence": self.evidence,
            "held_seconds": self.seconds,
            "refused_last_hour": self.last_hour,
            "refused_by_minute": self.refused,
            "skipped_tasks": dict(self.tasks),
        }


@dataclass
class TaskRow:
    """The counts of one task."""

    name: str
    runs: int | None = 0
    """Attempts that completed; None if no process counts them."""
    errors: int = 0
    skips: int = 0
    revoked: int = 0
    durations: Durations | None = None
    by_minute: list[int] = field(default_factory=list)
    running: int = 0

    @property
    def mean_seconds(self) -> float | None:
        """The mean duration of an attempt; None if none was timed."""
        if self.durations is None or not self.durations.count:
            return None
        return self.durations.seconds / self.durations.count

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        content = asdict(self)
        content["mean_seconds"] = self.mean_seconds
        return content


def lock_rows(state: QueueState, limit: int = MAX_ROWS) -> list[LockRow]:
    """Return the first locks: dead holders first, then those that refuse most.

    Args:
        state: The state of the queue.
        limit: How many at most.
    """
    rows = [lock_row(seen, state) for seen in state.first_locks[:limit]]
    return sorted(rows, key=lambda row: (ORDER[row.lock.alive], -row.last_hour, row.lock.name))


def lock_row(seen: SeenLock, state: QueueState) -> LockRow:
    """Return one lock with what was counted of it."""
    lock = seen.lock
    is_remote = lock.host is not None and lock.host != gethostname()
    return LockRow(
        lock,
        _held_seconds(lock),
        is_remote,
        {True: "alive", False: "dead", None: "unknown"}[lock.alive],
        _evidence(lock, state),
        _refusals(state.history, lock.name),
        seen.turned_away,
    )


def _held_seconds(lock: LockInfo) -> float | None:
    if lock.slots:
        return max(lock.slots)
    if lock.since is None:
        return None
    return max(0.0, (datetime.now(timezone.utc) - lock.since).total_seconds())


def _evidence(lock: LockInfo, state: QueueState) -> str:
    if lock.kind == "semaphore":
        return "a semaphore does not name its holders"
    if lock.doubt:
        return lock.doubt
    if lock.pid is None:
        return "unclaimed: a process without the kit acquired it, so its value names no holder"
    if lock.alive is False:
        if lock.silent is not None:
            return (
                f"no heartbeat for {lock.silent:.0f} seconds, as seen by a process that could use "
                "the storage all that time"
            )
        return "the process has ended, says the operating system of its host"
    if lock.is_unclaimed:
        return "its process is on another host, and has never written a heartbeat"
    if lock.silent is not None:
        return f"its last heartbeat was {lock.silent:.0f} seconds ago"
    is_remote = lock.host is not None and lock.host != gethostname()
    return "its last heartbeat is recent" if is_remote else "its process is running"


def _refusals(history: History, name: str) -> list[int]:
    # A label has at most a few hundred characters, and a name may have a million.
    label = history_label(sanitize_label(fold(name[:_MAX_FOLDED])))
    return history.minutes.get(("refusal", label), [0] * MINUTES)


def task_rows(state: QueueState) -> list[TaskRow]:
    """Return the counts of every known task, by name."""
    rows: dict[str, TaskRow] = {}
    fields = {"complete": "runs", "error": "errors", "locked": "skips", "revoked": "revoked"}
    for (metric, *labels), value in state.ledger.totals.items():
        if metric == SIGNALS_TOTAL and labels[2] in fields and isinstance(value, int):
            row = rows.setdefault(labels[1], TaskRow(labels[1]))
            attribute = fields[labels[2]]
            setattr(row, attribute, (getattr(row, attribute) or 0) + value)
        elif metric == LOCK_SKIPS and isinstance(value, int):
            rows.setdefault(labels[1], TaskRow(labels[1]))
        elif metric == TASK_SECONDS and isinstance(value, Durations):
            row = rows.setdefault(labels[1], TaskRow(labels[1]))
            row.durations = value if row.durations is None else row.durations + value
    for process in state.snapshot.processes:
        for task in process.running if process.alive is not False else ():
            rows.setdefault(task.name, TaskRow(task.name)).running += 1
    is_counted = counts_completed(state)
    for row in rows.values():
        row.by_minute = attempts_by_minute(state.history, row.name)
        row.runs = row.runs if is_counted else None
    return sorted(rows.values(), key=lambda row: row.name)


def attempts_by_minute(history: History, task: str | None = None) -> list[int]:
    """Return the attempts of a task, or of all, that ended in each of the last 180 minutes.

    An attempt that will be retried is counted by its error; Huey sends ``retrying`` in addition.
    One that raised ``RetryTask`` has no other signal, and is counted where durations are. So both
    numbers are at most the true one.

    Args:
        history: The history.
        task: The name of a task as in the counts; None for all tasks.
    """
    label = None if task is None else history_label(task)
    ended: dict[str, list[int]] = {}
    timed: dict[str, list[int]] = {}
    for (kind, name, *labels), counts in history.minutes.items():
        if label is not None and name != label:
            continue
        if kind == "signal" and labels[0] in ENDS:
            ended[name] = _add(ended.get(name, ()), counts)
        elif kind == "attempt":
            timed[name] = _add(timed.get(name, ()), counts)
    total = [0] * MINUTES
    for name in {**ended, **timed}:
        none = [0] * MINUTES
        total = _add(total, list(map(max, ended.get(name, none), timed.get(name, none))))
    return total


def _add(total: Sequence[int], counts: Sequence[int]) -> list[int]:
    return [one + other for one, other in zip_longest(total, counts, fillvalue=0)]


def refused_by_minute(history: History) -> list[int]:
    """Return the refused attempts to acquire any lock, for each of the last 180 minutes."""
    total = [0] * MINUTES
    for (kind, *_), counts in history.minutes.items():
        if kind == "refusal":
            total = _add(total, counts)
    return total


def count_refusing(history: History) -> int:
    """Return how many folded names of locks have refused an attempt in the last hour."""
    return sum(
        kind == "refusal" and any(counts[-HOUR_MINUTES:])
        for (kind, *_), counts in history.minutes.items()
    )


def counts_completed(state: QueueState) -> bool:
    """Return whether any process counts the tasks that complete; without a sink none does."""
    done = state.snapshot.events.get("done")
    return done is not None and done.total is not None


def workers(state: QueueState) -> list[SeenProcess]:
    """Return the processes that run tasks."""
    return [
        process for process in state.snapshot.processes if process.worker not in ("", "scheduler")
    ]
