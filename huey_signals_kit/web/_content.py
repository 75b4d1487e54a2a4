"""What each page shows, as plain data; the templates and the JSON are made from it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from socket import gethostname
from typing import Any

from ..ledger import History, history_label
from ..metrics.labels import fold, sanitize_label
from ..metrics.names import LOCK_REFUSALS, LOCK_SKIPS, SIGNALS, TASK_SECONDS
from ..metrics.values import Durations
from ..upkeep import LockInfo, Report
from ..upkeep.monitor.model import SeenLock, SeenProcess
from ._queue import QueueState
from ._text import format_moment, reference

HOUR_MINUTES = 60
_MAX_FOLDED = 4096


@dataclass(frozen=True)
class Problem:
    """One sentence about what needs a person, and where it leads."""

    before: str
    name: str
    """A lock or a task in the sentence, shown as a name; may be empty."""
    after: str
    link: str
    page: str
    query: dict[str, str] = field(default_factory=dict)


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
    """Refused attempts to acquire it, for each of the last 180 minutes."""
    tasks: tuple[tuple[str, int], ...]
    """Tasks that were skipped because of it, most often first."""

    @property
    def last_hour(self) -> int:
        """Refused attempts of the last hour."""
        return max(sum(self.refused[-HOUR_MINUTES:]), self.lock.skips)

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
    runs: int = 0
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


def lock_rows(state: QueueState) -> list[LockRow]:
    """Return every known lock; dead holders first, then those that refuse most."""
    rows = [lock_row(seen, state) for seen in state.snapshot.locks]
    order = {"dead": 0, "unknown": 1, "alive": 2}
    return sorted(rows, key=lambda row: (order[row.state], -row.last_hour, row.lock.name))


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
        return "its value names no holder: it was acquired by a process without the kit"
    if lock.alive is False:
        if lock.silent is not None:
            return (
                f"no heartbeat for {lock.silent:.0f} seconds, watched by a process whose own "
                "heartbeats were written all that time"
            )
        return "the operating system of its host says that the process has ended"
    if lock.is_unclaimed:
        return "its process is on another host, and has never written a heartbeat"
    if lock.silent is not None:
        return f"its last heartbeat was {lock.silent:.0f} seconds ago"
    return "its process runs, or writes heartbeats"


def _refusals(history: History, name: str) -> list[int]:
    # A label has at most a few hundred characters, and a name may have a million.
    label = history_label(sanitize_label(fold(name[:_MAX_FOLDED])))
    return history.minutes.get(("refusal", label), [0] * 180)


def task_rows(state: QueueState) -> list[TaskRow]:
    """Return the counts of every known task, by name."""
    rows: dict[str, TaskRow] = {}
    fields = {"complete": "runs", "error": "errors", "locked": "skips", "revoked": "revoked"}
    for (metric, *labels), value in state.ledger.totals.items():
        if metric == SIGNALS and labels[2] in fields and isinstance(value, int):
            row = rows.setdefault(labels[1], TaskRow(labels[1]))
            attribute = fields[labels[2]]
            setattr(row, attribute, getattr(row, attribute) + value)
        elif metric == LOCK_SKIPS and isinstance(value, int):
            rows.setdefault(labels[1], TaskRow(labels[1]))
        elif metric == TASK_SECONDS and isinstance(value, Durations):
            row = rows.setdefault(labels[1], TaskRow(labels[1]))
            row.durations = value if row.durations is None else row.durations + value
    for process in state.snapshot.processes:
        for task in process.running if process.alive is not False else ():
            rows.setdefault(task.name, TaskRow(task.name)).running += 1
    for row in rows.values():
        row.by_minute = attempts_by_minute(state.history, row.name)
    return sorted(rows.values(), key=lambda row: row.name)


def attempts_by_minute(history: History, task: str | None = None) -> list[int]:
    """Return the attempts of a task, or of all, for each of the last 180 minutes."""
    total = [0] * 180
    for (kind, *labels), counts in history.minutes.items():
        is_end = kind == "signal" and labels[1] in ("complete", "error", "locked", "retrying")
        if is_end and (task is None or labels[0] == task):
            total = [one + other for one, other in zip(total, counts, strict=True)]
    return total


def refused_by_minute(history: History) -> list[int]:
    """Return the refused attempts to acquire any lock, for each of the last 180 minutes."""
    total = [0] * 180
    for (kind, *_), counts in history.minutes.items():
        if kind == "refusal":
            total = [one + other for one, other in zip(total, counts, strict=True)]
    return total


def refused_total(state: QueueState) -> int:
    """Return all refused attempts since the ledger began."""
    return sum(
        value
        for (metric, *_), value in state.ledger.totals.items()
        if metric == LOCK_REFUSALS and isinstance(value, int)
    )


def workers(state: QueueState) -> list[SeenProcess]:
    """Return the processes that run tasks."""
    return [each for each in state.snapshot.processes if each.worker not in ("", "scheduler")]


def problems(state: QueueState, locks: list[LockRow]) -> list[Problem]:
    """Return what needs a person, the most urgent first."""
    found: list[Problem] = []
    alive = [each for each in workers(state) if each.alive is not False]
    waiting = state.snapshot.store["queue"].now or 0
    if workers(state) and not alive and waiting:
        found.append(
            Problem(
                f"{waiting:,} {'messages wait' if waiting != 1 else 'message waits'}, and every "
                "known process with workers is dead.",
                "",
                "",
                "See the consumers",
                "consumers",
            )
        )
    for row in locks:
        if row.state == "dead":
            name = row.lock.name
            hour = row.last_hour
            refused = f"; {hour:,} attempts were refused in the last hour" if hour else ""
            since = f" since {format_moment(row.lock.since)}" if row.lock.since else ""
            found.append(
                Problem(
                    "The lock",
                    name,
                    f"is held by a dead process{since}{refused}.",
                    "Look at the lock",
                    "lock",
                    {"name": reference(name)},
                )
            )
    report = state.report
    if report is not None:
        found += _store_problems(report)
    return found


def _store_problems(report: Report) -> list[Problem]:
    found = []
    if report.tokens.orphaned:
        count = report.tokens.orphaned
        found.append(
            Problem(
                f"{count:,} revoke {'tokens belong' if count != 1 else 'token belongs'} to tasks "
                "that no longer exist.",
                "",
                "",
                "See the tokens",
                "tokens",
            )
        )
    count = sum(report.errors.get(name, 0) - report.kept.get(name, 0) for name in LOCK_ERROR_NAMES)
    if count:
        found.append(
            Problem(
                f"{count:,} lock {'errors are' if count != 1 else 'error is'} stored, which no "
                "caller reads.",
                "",
                "",
                "See the store",
                "store",
            )
        )
    if report.unreadable.messages or report.unreadable.records:
        count = report.unreadable.messages + len(report.unreadable.records)
        found.append(
            Problem(
                f"{count:,} {'messages or records' if count != 1 else 'message or record'} cannot "
                "be read, so nothing is deleted.",
                "",
                "",
                "See the store",
                "store",
            )
        )
    return found


LOCK_ERROR_NAMES = ("TaskLockedException",)


def counts_by_state(state: QueueState) -> Counter[str]:
    """Return how many processes are alive, dead and unknown."""
    names = {True: "alive", False: "dead", None: "unknown"}
    return Counter(names[each.alive] for each in state.snapshot.processes)


def now_text() -> str:
    """Return the present time in ISO format."""
    return datetime.fromtimestamp(time.time(), timezone.utc).isoformat(timespec="seconds")
