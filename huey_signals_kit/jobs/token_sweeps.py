"""A kit's way to upkeep: what it sweeps by itself, and what it does when asked."""

from __future__ import annotations

import threading
from typing import Any

from .. import upkeep
from .._settings import Settings
from ..dispatch.reporter import Reporter
from ..metrics.counter import MetricCounter
from ..metrics.names import TOKENS_CLEANED
from ..runtime.fork import reset_in_child
from ..runtime.scheduler import JobGroup
from ..signals import sweep_finished
from .heartbeat import HeartbeatWriter

_CLEANED = (TOKENS_CLEANED, "sweep")
_FIRST_SECONDS = 60.0
_JOB = "token sweep"


class TokenSweepJob:
    """Upkeep of one kit's Huey: what it deletes is counted, and each sweep announced.

    With ``sweep_interval=``, the processes with workers take turns in sweeping, so many seconds
    apart, each on a thread of its own: the tick has heartbeats to write meanwhile.
    """

    def __init__(
        self,
        huey: Any,
        settings: Settings,
        heartbeat: HeartbeatWriter,
        counts: MetricCounter,
        reporter: Reporter,
        jobs: JobGroup,
    ) -> None:
        interval: Any = settings.sweep_interval
        if interval is not None:
            upkeep.check_age(interval, "sweep_interval=")
        self.huey = huey
        self._interval = interval
        self._heartbeat = heartbeat
        self._counts = counts
        self._reporter = reporter
        self._jobs = jobs
        self._sweeper = upkeep.Sweeper(huey, ledger=heartbeat.ledger)
        self._turn = heartbeat.ledger.lease("sweep turn", interval or _FIRST_SECONDS)
        self._begun = False
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._thread: threading.Thread | None = None

    def install(self) -> None:
        """Sweep from now on, if asked to."""
        self._sweeper.cancelled = False

    def uninstall(self) -> None:
        """A sweep that is under way ends where it is."""
        self._sweeper.cancelled = True

    def on_worker_start(self) -> None:
        """This process runs a worker, so it takes its turn."""
        if self._interval is not None and not self._begun:
            self._begun = True
            first = min(self._interval, _FIRST_SECONDS)
            self._jobs.every(self._interval, self._on_tick, _JOB, first=first, run_at_exit=False)

    def sweep(self, min_age: float, dry_run: bool) -> upkeep.SweepReport:
        """A sweep, counted and announced, also when it could not go on."""
        try:
            report = self._sweeper.sweep(min_age, dry_run)
        except upkeep.SweepStopped as exc:
            self._finished(exc.report)
            raise
        self._finished(report)
        return report

    def _finished(self, report: upkeep.SweepReport) -> None:
        if not report.dry_run:
            if report.deleted:
                self._counts.add_many(_CLEANED, report.deleted)
            self._reporter.announce(sweep_finished, report=report)

    def _on_tick(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._take_turn, name=_JOB, daemon=True)
            self._thread.start()

    def _take_turn(self) -> None:
        try:
            if self._turn.acquire():
                self.sweep(upkeep.DAY, False)
        except Exception as exc:
            if not self._sweeper.cancelled:
                self._reporter.job_failed(_JOB, exc)
