"""What ``huey-signals top`` shows: the ledger, the locks and the store, look after look."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from socket import gethostname
from typing import Any

from ..ledger import BEAT_SECONDS, Look, Process, open_ledger
from ..sinks.labels import fold, valid
from ..sinks.readings import Totals
from ..sinks.vocabulary import LOCK_SKIPS, SIGNALS
from ..upkeep import LockInfo, LockWatch, Report
from ..upkeep import report as make_report
from ._export.asking import Asking, NoAnswer

RATE_SECONDS = 3 * BEAT_SECONDS
"""Over how long rates are taken: processes tell what they have counted only every few seconds."""

_SHARE = 0.1
"""How much of the time reading the whole store may take."""

_REPORT_SECONDS = 1.0
"""How long a look waits for a report on the store: those of small stores come in this time."""

_WORDS = {"complete": "done", "error": "errors", "locked": "skipped", "revoked": "revoked"}
EVENTS = (*_WORDS.values(), "signals")
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
    """How many skips in the last `Seen.span` seconds; None where that is not known yet."""
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
class Seen:
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
    locks_age: float = 0.0
    """How many seconds ago new locks and semaphores were looked for."""
    unreadable: int = 0
    """How many records of the ledger cannot be read; what they say is missing."""

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


class Looker:
    """Looks at one Huey; keep it, as what has changed is told from the looks before.

    All of the store is read on a thread of its own, at most a tenth of the time; all else that
    a look reads is small.
    """

    def __init__(self, huey: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._huey = huey
        self._clock = clock
        self._ledger = open_ledger(huey)
        self._locks = _Locks(LockWatch(huey, self._ledger), clock)
        self._counts = _Counts(clock)
        self._pace = _Pace(clock)
        self._reports: Asking[tuple[Report, float]] = Asking(self._report, "report on the store")
        self._last: tuple[Report, float] | None = None
        self._first: dict[str, int] = {}

    def look(self, wait: float | None = _REPORT_SECONDS) -> Seen:
        """Everything; the store as it was read last, a first time within *wait* seconds or never.

        What the storage raises comes through, after its connection was closed: some storages
        would go on with a broken one.
        """
        try:
            return self._look(wait)
        except Exception:
            with suppress(Exception):
                self._huey.storage.close()
            raise

    def _look(self, wait: float | None) -> Seen:
        ledger = self._ledger.look()
        self._counts.add(ledger.totals)
        storage = self._huey.storage
        lengths = {"queue": storage.queue_size(), "schedule": storage.schedule_size()}
        self._read_store(wait)
        figures = {**lengths, **({} if self._last is None else _of_store(self._last[0]))}
        locks = self._locks.look(ledger)
        return Seen(
            queue=str(self._huey.name),
            at=datetime.now(timezone.utc),
            processes=tuple(map(_process, ledger.processes)),
            locks=tuple(self._counts.lock(each) for each in locks),
            events=self._counts.events(),
            span=self._counts.span(),
            store=self._changes(figures),
            store_age=None if self._last is None else self._clock() - self._last[1],
            locks_age=self._locks.age(),
            unreadable=len(ledger.unreadable),
        )

    def _read_store(self, wait: float | None) -> None:
        if self._pace.due():
            self._reports.ask()
        if self._reports.wait(wait):
            with suppress(NoAnswer):
                self._last = self._reports.last()

    def _report(self) -> tuple[Report, float]:
        with self._pace.measured():
            return make_report(self._huey, ledger=self._ledger), self._clock()

    def _changes(self, figures: dict[str, int]) -> dict[str, Figure]:
        for name, value in figures.items():
            self._first.setdefault(name, value)
        return {
            name: Figure(figures[name], figures[name] - self._first[name])
            if name in figures
            else Figure(None, None)
            for name in FIGURES
        }


class _Pace:
    """Has what takes long be done for a `_SHARE` of the time at most."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next = float("-inf")

    def due(self) -> bool:
        return self._clock() >= self._next

    @contextmanager
    def measured(self) -> Iterator[None]:
        began = self._clock()
        yield
        # Not after an error: nobody waits for long once the storage is there again.
        ended = self._clock()
        self._next = ended + (ended - began) * (1 / _SHARE - 1)


class _Locks:
    """The locks of one Huey: those that are known each time, new ones as often as is cheap."""

    def __init__(self, watch: LockWatch, clock: Callable[[], float]) -> None:
        self._watch = watch
        self._clock = clock
        self._pace = _Pace(clock)
        self._known: list[LockInfo] = []
        self._at = clock()

    def age(self) -> float:
        return self._clock() - self._at

    def look(self, ledger: Look) -> list[LockInfo]:
        if self._pace.due():
            self._at = self._clock()
            with self._pace.measured():
                self._known = self._watch.all()
            return self._known
        said = {name for each in ledger.processes for name in each.heartbeat.locks}
        names = said | {each.name for each in self._known if each.kind == "lock"}
        others = [each for each in self._known if each.kind != "lock"]
        found = self._watch.named(sorted(names)) if names else []
        self._known = sorted([*found, *others], key=lambda lock: lock.name)
        return self._known


class _Counts:
    """What all processes have counted, and how fast it grows."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._past: deque[tuple[float, Counter[str]]] = deque()
        self._tasks: dict[str, Counter[str]] = {}

    def add(self, totals: Totals) -> None:
        """Begin anew where there are fewer than before: the ledger was lost."""
        counted = _counted(totals)
        if self._past and any(counted[name] < was for name, was in self._past[-1][1].items()):
            self._past.clear()
        now = self._clock()
        self._past.append((now, counted))
        while len(self._past) > 2 and now - self._past[1][0] >= RATE_SECONDS:
            self._past.popleft()
        self._tasks = _turned_away(totals)

    def span(self) -> float | None:
        """None as long as it says nothing: a beat may just have brought what took five seconds."""
        found = self._past[-1][0] - self._past[0][0]
        return found if found >= BEAT_SECONDS else None

    def events(self) -> dict[str, Event]:
        span, counted = self.span(), self._past[-1][1]
        found = {}
        for name in EVENTS:
            # Without a sink only what went wrong is counted.
            known = name in counted or not (name == "done" and counted)
            more = None if span is None or not known else self._more(name) / span
            found[name] = Event(counted[name] if known else None, more)
        return found

    def lock(self, lock: LockInfo) -> SeenLock:
        label = valid(fold(lock.name))
        tasks = self._tasks.get(label, Counter[str]()).most_common()
        recent = None if self.span() is None else self._more(_skips_of(label))
        return SeenLock(lock, recent, tuple(tasks))

    def _more(self, name: str) -> int:
        return self._past[-1][1][name] - self._past[0][1][name]


def _counted(totals: Totals) -> Counter[str]:
    found: Counter[str] = Counter()
    for (metric, *labels), value in totals.items():
        if not isinstance(value, int):
            continue
        if metric == SIGNALS:
            found["signals"] += value
            if labels[-1] in _WORDS:
                found[_WORDS[labels[-1]]] += value
        elif metric == LOCK_SKIPS:
            found[_skips_of(labels[-1])] += value
    return found


def _skips_of(label: str) -> str:
    return f"skips of {label}"


def _turned_away(totals: Totals) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for (metric, *labels), value in totals.items():
        if metric == LOCK_SKIPS and isinstance(value, int):
            found.setdefault(labels[-1], Counter())[labels[-2]] += value
    return found


def _process(process: Process) -> SeenProcess:
    beat, now = process.heartbeat, time.time()
    about = beat.host != gethostname()
    running = tuple(
        SeenTask(each.task_id, each.task_name, max(0.0, now - each.since), about)
        for each in beat.running
    )
    return SeenProcess(beat.host, beat.pid, beat.worker, process.alive, running, beat.unread)


def _of_store(report: Report) -> dict[str, int]:
    kinds = report.kinds
    return {
        "results": kinds["result"].keys,
        "errors": kinds["error"].keys,
        "tokens": kinds["token"].keys,
        "keys": sum(each.keys for each in kinds.values()),
        "bytes": sum(each.bytes for each in kinds.values()),
    }
