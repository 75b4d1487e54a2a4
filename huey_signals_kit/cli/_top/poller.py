"""What ``huey-signals top`` shows: the ledger, the locks and the store, look after look."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from socket import gethostname
from typing import Any

from ...ledger import Process, Snapshot, open_ledger
from ...upkeep import LockInfo, LockInspector, Report
from ...upkeep import report as make_report
from .._shared.background_read import BackgroundRead, ReadTimeout
from .model import FIGURES, Figure, QueueSnapshot, SeenProcess, SeenTask
from .rates import Counts

_SHARE = 0.1
"""How much of the time reading the whole store may take."""

_WAIT_SECONDS = 0.3
"""Seconds that a look waits for readings of the whole store; enough for a small store."""


class Poller:
    """Looks at one Huey; keep it, as what has changed is told from the looks before.

    The report and the search for locks read the whole store. They run on threads of their own, at
    most a tenth of the time; the other readings are small.
    """

    def __init__(self, huey: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._huey = huey
        self._clock = clock
        self._ledger = open_ledger(huey)
        self._locks = _Locks(LockInspector(huey, self._ledger), LockInspector(huey), clock)
        self._counts = Counts(clock)
        self._pace = _Pace(clock)
        self._reports: BackgroundRead[tuple[Report, float]] = BackgroundRead(
            self._report, "report on the store"
        )
        self._last: tuple[Report, float] | None = None
        self._first: dict[str, int] = {}

    def poll(self, wait: float | None = _WAIT_SECONDS) -> QueueSnapshot:
        """Return everything; figures of the whole store are from its last reading.

        What the storage raises comes through, after its connection was closed: some storages
        would go on with a broken one.
        """
        try:
            return self._look(wait)
        except Exception:
            with suppress(Exception):
                self._huey.storage.close()
            raise

    def _look(self, wait: float | None) -> QueueSnapshot:
        ledger = self._ledger.snapshot()
        self._counts.add(ledger.totals)
        storage = self._huey.storage
        lengths = {"queue": storage.queue_size(), "schedule": storage.schedule_size()}
        deadline = None if wait is None else time.monotonic() + wait
        self._locks.ask()
        self._read_store(deadline)
        figures = {**lengths, **({} if self._last is None else _of_store(self._last[0]))}
        locks = self._locks.poll(ledger, deadline)
        return QueueSnapshot(
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

    def _read_store(self, deadline: float | None) -> None:
        if self._pace.due():
            self._reports.ask()
        if self._reports.wait(_until(deadline)):
            with suppress(ReadTimeout):
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


def _until(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


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
    """The locks of one Huey: known locks are read each time, new ones searched for now and then.

    Args:
        watch: Judges the known locks.
        search: Finds all locks, on a thread of its own.
        clock: A monotonic clock, in seconds.
    """

    def __init__(
        self, watch: LockInspector, search: LockInspector, clock: Callable[[], float]
    ) -> None:
        self._watch = watch
        self._search = search
        self._clock = clock
        self._pace = _Pace(clock)
        self._searches: BackgroundRead[tuple[list[LockInfo], float]] = BackgroundRead(
            self._find, "list of locks"
        )
        self._known: list[LockInfo] = []
        self._at: float | None = None

    def age(self) -> float | None:
        return None if self._at is None else self._clock() - self._at

    def ask(self) -> None:
        if self._pace.due():
            self._searches.ask()

    def poll(self, ledger: Snapshot, deadline: float | None) -> list[LockInfo]:
        if self._searches.wait(_until(deadline)):
            with suppress(ReadTimeout):
                found, at = self._searches.last()
                if at != self._at:
                    self._known, self._at = found, at
        said = {name for each in ledger.processes for name in each.heartbeat.locks}
        names = said | {each.name for each in self._known if each.kind == "lock"}
        others = [each for each in self._known if each.kind != "lock"]
        locks = self._watch.named(sorted(names)) if names else []
        self._known = sorted([*locks, *others], key=lambda lock: lock.name)
        return self._known

    def _find(self) -> tuple[list[LockInfo], float]:
        at = self._clock()
        with self._pace.measured():
            return self._search.all(), at


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
