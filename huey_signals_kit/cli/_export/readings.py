"""The counters of all processes of a queue, and the report on its store, as they are exported."""

from __future__ import annotations

import time
from typing import Any

from ...ledger import Snapshot, open_ledger
from ...upkeep import LockInspector, Report
from ...upkeep import report as make_report
from .._shared.background_read import BackgroundRead, ReadTimeout

LOOK_SECONDS = 5.0
"""How long a scrape waits for the counters; Prometheus itself waits for ten by default."""

WHOLE_SECONDS = 600.0
"""How long a report may take that is waited for, while the storage still answers."""


class Readings:
    """Of one Huey; the store is read at most every *interval* seconds."""

    def __init__(self, huey: Any, interval: float) -> None:
        self._interval = interval
        ledger = open_ledger(huey)
        watch = LockInspector(huey, ledger)
        self._looks: BackgroundRead[Snapshot] = BackgroundRead(
            ledger.snapshot, "look at the ledger"
        )
        self._reports: BackgroundRead[tuple[Report, float]] = BackgroundRead(
            lambda: (make_report(huey, ledger=ledger, inspector=watch), time.time()),
            "report on the store",
        )

    def snapshot(self) -> Snapshot:
        """The ledger as it is now."""
        self._looks.ask()
        if not self._looks.wait(LOOK_SECONDS):
            raise ReadTimeout(f"no answer for {LOOK_SECONDS:g} seconds")
        return self._looks.last()

    def report(self, wait: float) -> tuple[Report, float]:
        """The last report, with a new one begun if it is due, and when it was made."""
        if self._reports.age() >= self._interval:
            self._reports.ask()
        self._reports.wait(wait)
        return self._reports.last()

    def whole(self) -> Report:
        """The report, however long it takes; `ReadTimeout` once the storage does not answer."""
        self.snapshot()
        end = time.monotonic() + WHOLE_SECONDS
        while True:
            try:
                return self.report(LOOK_SECONDS)[0]
            except ReadTimeout:
                if time.monotonic() > end:
                    raise ReadTimeout(f"no report in {WHOLE_SECONDS:g} seconds") from None
                self.snapshot()

    def forget(self) -> None:
        """As if no report had been made."""
        self._reports.forget()
