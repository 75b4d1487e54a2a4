"""Reads of the ledger, the locks and the store for ``top`` and the web interface.

These views stay open, so they must not load the storage. The ledger, the lengths of queue and
schedule, and the known locks are small, and are read for every update. The report and the search
for new locks read the whole store: each runs on a thread of its own, for at most a tenth of the
time, and updates show its last result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from itertools import islice
from socket import gethostname
from typing import Any

from ...ledger import Process, Snapshot, open_ledger
from .. import LockInfo, LockInspector, Report
from .. import report as make_report
from .background_read import BackgroundRead, ReadTimeout
from .model import FIGURES, Figure, QueueSnapshot, SeenLock, SeenProcess, SeenTask
from .rates import EventRates

_SHARE = 0.1
"""Share of the time that each read of the whole store may take."""

_MAX_CURRENT = 2000
"""Locks at most that are read for every update; further ones are as of the last search."""

_WAIT_SECONDS = 0.3
"""Seconds that an update waits for reads of the whole store; enough for a small store."""


class Poller:
    """A reader of one Huey that keeps what it needs to show changes."""

    def __init__(self, huey: Any, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the ledger.

        Args:
            huey: The Huey.
            clock: A monotonic clock, in seconds.
        """
        self._huey = huey
        self._clock = clock
        self._ledger = open_ledger(huey)
        self._locks = _LockReader(LockInspector(huey, self._ledger), LockInspector(huey), clock)
        self._rates = EventRates(clock)
        self._pacer = _Pacer(clock)
        self._reports: BackgroundRead[tuple[Report, float]] = BackgroundRead(
            self._read_report, "report on the store"
        )
        self._last: tuple[Report, float] | None = None
        self._first: dict[str, int] = {}

    @property
    def last_report(self) -> Report | None:
        """The last report on the whole store; None before the first."""
        return None if self._last is None else self._last[0]

    def poll(self, wait: float | None = _WAIT_SECONDS) -> QueueSnapshot:
        """Return the present state; figures of the whole store are those of its last read.

        Args:
            wait: Seconds to wait for reads of the whole store; None until they end.

        Raises:
            Exception: The storage raised it. Its connection is closed before, because some storages
                would go on using a broken one.
        """
        try:
            return self._poll(wait)
        except Exception:
            with suppress(Exception):
                self._huey.storage.close()
            raise

    def _poll(self, wait: float | None) -> QueueSnapshot:
        ledger = self._ledger.snapshot()
        self._rates.add(ledger.totals)
        storage = self._huey.storage
        lengths = {"queue": storage.queue_size(), "schedule": storage.schedule_size()}
        deadline = None if wait is None else time.monotonic() + wait
        self._locks.request()
        self._read_store(deadline)
        figures = {**lengths, **({} if self._last is None else _store_figures(self._last[0]))}
        locks = self._locks.poll(ledger, deadline)
        return QueueSnapshot(
            queue=str(self._huey.name),
            at=datetime.now(timezone.utc),
            processes=tuple(map(_seen_process, ledger.processes)),
            locks=tuple(map(self._rates.with_skips, locks[:_MAX_CURRENT]))
            + tuple(SeenLock(lock, None, ()) for lock in locks[_MAX_CURRENT:]),
            events=self._rates.events(),
            span=self._rates.span(),
            store=self._with_changes(figures),
            store_age=None if self._last is None else self._clock() - self._last[1],
            locks_age=self._locks.age(),
            unreadable=len(ledger.unreadable),
        )

    def _read_store(self, deadline: float | None) -> None:
        if self._pacer.is_due():
            self._reports.request()
        if self._reports.wait(_seconds_until(deadline)):
            with suppress(ReadTimeout):
                self._last = self._reports.result()

    def _read_report(self) -> tuple[Report, float]:
        with self._pacer.measured():
            return make_report(self._huey, ledger=self._ledger), self._clock()

    def _with_changes(self, figures: dict[str, int]) -> dict[str, Figure]:
        for name, value in figures.items():
            self._first.setdefault(name, value)
        return {
            name: Figure(figures[name], figures[name] - self._first[name])
            if name in figures
            else Figure(None, None)
            for name in FIGURES
        }


def _seconds_until(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


class _Pacer:
    """A limit on a job that takes long: it runs for a `_SHARE` of the time at most."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next = float("-inf")

    def is_due(self) -> bool:
        return self._clock() >= self._next

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure the job in the block, and compute when it is due again.

        A job that raises is due immediately, so that the view recovers as soon as the storage does.
        """
        started = self._clock()
        yield
        ended = self._clock()
        self._next = ended + (ended - started) * (1 / _SHARE - 1)


class _LockReader:
    """A reader of locks: known locks are read each time, and new ones are searched for at times."""

    def __init__(
        self, inspector: LockInspector, search_inspector: LockInspector, clock: Callable[[], float]
    ) -> None:
        """Start without known locks.

        Args:
            inspector: Inspects the known locks.
            search_inspector: Finds all locks, on a thread of its own.
            clock: A monotonic clock, in seconds.
        """
        self._inspector = inspector
        self._search_inspector = search_inspector
        self._clock = clock
        self._pacer = _Pacer(clock)
        self._searches: BackgroundRead[tuple[list[LockInfo], float]] = BackgroundRead(
            self._search, "list of locks"
        )
        self._known: list[LockInfo] = []
        self._searched_at: float | None = None

    def age(self) -> float | None:
        """Return the seconds since the last search; None before the first."""
        return None if self._searched_at is None else self._clock() - self._searched_at

    def request(self) -> None:
        """Start a search if one is due."""
        if self._pacer.is_due():
            self._searches.request()

    def poll(self, ledger: Snapshot, deadline: float | None) -> list[LockInfo]:
        """Return all known locks by name: those found by a search or named in a heartbeat."""
        if self._searches.wait(_seconds_until(deadline)):
            with suppress(ReadTimeout):
                locks, at = self._searches.result()
                if at != self._searched_at:
                    self._known, self._searched_at = locks, at
        # In this order: what a living process names in its record comes before what was found.
        names = dict.fromkeys(
            name for process in ledger.processes for name in process.heartbeat.locks
        )
        known = {lock.name: lock for lock in self._known if lock.kind == "lock"}
        names.update(dict.fromkeys(sorted(known)))
        current = list(islice(names, _MAX_CURRENT))
        locks = self._inspector.named(current) if current else []
        others = [known[name] for name in islice(names, _MAX_CURRENT, None) if name in known]
        semaphores = [lock for lock in self._known if lock.kind != "lock"]
        self._known = sorted([*locks, *semaphores, *others], key=lambda lock: lock.name)
        return self._known

    def _search(self) -> tuple[list[LockInfo], float]:
        at = self._clock()
        with self._pacer.measured():
            return self._search_inspector.all(), at


def _seen_process(process: Process) -> SeenProcess:
    heartbeat, now = process.heartbeat, time.time()
    is_remote = heartbeat.host != gethostname()
    running = tuple(
        SeenTask(task.task_id, task.task_name, max(0.0, now - task.since), is_remote)
        for task in heartbeat.running
    )
    return SeenProcess(
        heartbeat.host,
        heartbeat.pid,
        heartbeat.worker,
        process.alive,
        running,
        heartbeat.unread,
        heartbeat.periodic,
    )


def _store_figures(report: Report) -> dict[str, int]:
    kinds = report.kinds
    return {
        "results": kinds["result"].keys,
        "errors": kinds["error"].keys,
        "tokens": kinds["token"].keys,
        "keys": sum(total.keys for total in kinds.values()),
        "bytes": sum(total.bytes for total in kinds.values()),
    }
