"""Reads of a queue for its metrics: the ledger, and a report on the store."""

from __future__ import annotations

import time
from typing import Any

from ...ledger import Snapshot, open_ledger
from ...upkeep import LockInspector, Report
from ...upkeep import report as make_report
from ...upkeep.monitor.background_read import BackgroundRead, ReadTimeout

SNAPSHOT_SECONDS = 5.0
"""Seconds that a scrape waits for the counters; Prometheus waits 10 for a scrape by default."""

REPORT_SECONDS = 600.0
"""Seconds that a complete report may take while the storage still answers."""


class QueueReader:
    """A reader of the counters and of the store of one Huey.

    Counters are small and are read for every scrape. A report reads the whole store, which can take
    minutes, so the last report is used until the interval is over.
    """

    def __init__(self, huey: Any, interval: float) -> None:
        """Open the ledger.

        Args:
            huey: The Huey.
            interval: Shortest time between two reports, in seconds.
        """
        self._interval = interval
        ledger = open_ledger(huey)
        inspector = LockInspector(huey, ledger)
        self._snapshots: BackgroundRead[Snapshot] = BackgroundRead(
            ledger.snapshot, "look at the ledger"
        )
        self._reports: BackgroundRead[tuple[Report, float]] = BackgroundRead(
            lambda: (make_report(huey, ledger=ledger, inspector=inspector), time.time()),
            "report on the store",
        )

    def snapshot(self) -> Snapshot:
        """Return the present state of the ledger.

        Raises:
            ReadTimeout: The storage has not answered in time.
        """
        self._snapshots.request()
        if not self._snapshots.wait(SNAPSHOT_SECONDS):
            raise ReadTimeout(f"no answer for {SNAPSHOT_SECONDS:g} seconds")
        return self._snapshots.result()

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
        self.snapshot()
        deadline = time.monotonic() + REPORT_SECONDS
        while True:
            try:
                return self.latest_report(SNAPSHOT_SECONDS)[0]
            except ReadTimeout:
                if time.monotonic() > deadline:
                    raise ReadTimeout(f"no report in {REPORT_SECONDS:g} seconds") from None
                self.snapshot()

    def discard_report(self) -> None:
        """Forget the last report, so that none is served that is older than an outage."""
        self._reports.reset()
