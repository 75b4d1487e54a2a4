"""What ``huey-signals top`` shows: the ledger, the locks and the store, look after look."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from socket import gethostname
from typing import Any

from ..ledger import Look, Process, open_ledger
from ..upkeep import LockInfo, LockWatch, Report
from ..upkeep import report as make_report
from ._export.asking import Asking, NoAnswer
from ._top_counts import Counts
from ._top_form import FIGURES, Figure, Seen, SeenProcess, SeenTask

_SHARE = 0.1
"""How much of the time reading the whole store may take."""

_REPORT_SECONDS = 1.0
"""How long a look waits for a report on the store: those of small stores come in this time."""


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
        self._counts = Counts(clock)
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
