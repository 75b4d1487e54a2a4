"""Read a queue for its metrics: its current state, and a report on the store."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ...ledger import Ledger, Snapshot, open_ledger
from ...store import UPKEEP, open_kit_store, open_store
from ...upkeep import Report
from ...upkeep import report as make_report
from ...upkeep.monitor.background_read import BackgroundRead, ReadTimeout
from ...upkeep.tokens.last_sweep import last_sweep
from .backlog import Backlog
from .scrape_locks import LockGauges, ScrapeLocks
from .state import QueueState, overdue_seconds

STATE_SECONDS = 5.0
"""Seconds that a scrape waits for the current state; Prometheus waits 10 for a scrape."""

REPORT_SECONDS = 600.0
"""Seconds that a complete report may take while the storage still answers."""


@dataclass(frozen=True)
class CurrentState:
    """The current state of a queue."""

    snapshot: Snapshot
    queue: QueueState | None = None
    """None if it cannot be read."""
    locks: LockGauges | None = None
    """None if they cannot be read, and before the first report."""
    error: Exception | None = None
    """Why the queue or the locks cannot be read."""


class QueueReader:
    """A reader of the state and of the store of one Huey.

    The state is small and is read for every scrape. A report reads the whole store, which can take
    minutes, so the last report is used until the interval is over.
    """

    def __init__(self, huey: Any, interval: float) -> None:
        """Open the ledger.

        Args:
            huey: The Huey.
            interval: Shortest time between two reports, in seconds.
        """
        self._huey = huey
        self._interval = interval
        self._ledger: Ledger = open_ledger(huey)
        self._backlog = Backlog()
        self.locks = ScrapeLocks(huey, self._ledger)
        self._states: BackgroundRead[CurrentState] = BackgroundRead(
            self._load_state, "state of the queue"
        )
        self._reports: BackgroundRead[tuple[Report, float]] = BackgroundRead(
            self._read_report, "report on the store"
        )

    def read_state(self) -> CurrentState:
        """Return the current state.

        Raises:
            ReadTimeout: The storage has not answered in time.
        """
        self._states.request()
        if not self._states.wait(STATE_SECONDS):
            raise ReadTimeout(f"no answer for {STATE_SECONDS:g} seconds")
        return self._states.result()

    def latest_report(self, wait: float) -> tuple[Report, float]:
        """Return the last report and the Unix time of its end; start a new one if it is due.

        Args:
            wait: Seconds to wait for the new report.

        Raises:
            ReadTimeout: There is no report yet.
        """
        if self._reports.seconds_since_start() >= self._interval:
            self._reports.request()
        self._reports.wait(wait)
        return self._reports.result()

    def complete_report(self) -> Report:
        """Return the report, however long it takes, as long as the storage answers.

        Raises:
            ReadTimeout: The storage does not answer, or the report takes too long.
        """
        self.read_state()
        deadline = time.monotonic() + REPORT_SECONDS
        while True:
            try:
                return self.latest_report(STATE_SECONDS)[0]
            except ReadTimeout:
                if time.monotonic() > deadline:
                    raise ReadTimeout(f"no report in {REPORT_SECONDS:g} seconds") from None
                self.read_state()

    def discard_report(self) -> None:
        """Forget the last report, so that none is served that is older than an outage."""
        self._reports.reset()
        self.locks.forget()

    def _load_state(self) -> CurrentState:
        snapshot = self._ledger.snapshot()
        try:
            return CurrentState(snapshot, self._read_queue(), self.locks.read(snapshot))
        except Exception as exc:  # the counters can be served without the rest
            return CurrentState(snapshot, error=exc)

    def _read_queue(self) -> QueueState:
        storage, store = self._huey.storage, open_store(self._huey)
        # In this order: a message that arrives meanwhile makes the queue longer, not older.
        ends = store.queue_ends()
        return QueueState(
            queued=storage.queue_size(),
            oldest=self._backlog.observe(ends),
            scheduled=storage.schedule_size(),
            overdue=overdue_seconds(self._huey, store.next_scheduled()),
            last_sweep=last_sweep(open_kit_store(self._huey, UPKEEP)),
        )

    def _read_report(self) -> tuple[Report, float]:
        self._backlog.start_report()
        report = make_report(
            self._huey, ledger=self._ledger, inspector=self.locks, on_queued=self._backlog.found
        )
        self._backlog.end_report()
        return report, time.time()
