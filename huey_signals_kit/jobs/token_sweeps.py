"""Run token sweeps for a kit, when they are due and when the user asks for one."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Any

from .. import upkeep
from .._settings import Settings
from ..dispatch.reporter import Reporter
from ..metrics.counter import MetricCounter
from ..metrics.names import TOKENS_CLEANED
from ..runtime.fork import reset_in_child
from ..runtime.scheduler import JobGroup
from ..runtime.threads import forwarding_interrupts
from ..signals import sweep_finished
from .heartbeat import HeartbeatWriter

_CLEANED = (TOKENS_CLEANED, "sweep")
_FIRST_SECONDS = 60.0
_JOB = "token sweep"


class TokenSweepJob:
    """The token sweeps of one kit; what they delete is counted, and each sweep is announced.

    With ``sweep_interval=`` the job runs by itself in processes with workers. A lease of that
    duration in the ledger ensures that one process sweeps in each interval. The sweep has a thread
    of its own, because it may take minutes, and the scheduler must write heartbeats meanwhile:
    without the heartbeat of this process the sweep itself would wait in vain for one.

    Args:
        huey: The Huey.
        settings: The arguments of `install_handlers`; `sweep_interval` is validated here.
        heartbeat: Has the ledger.
        counter: Counts the deleted tokens.
        reporter: Announces sweeps, and logs one that failed.
        jobs: The jobs of the kit.
    """

    def __init__(
        self,
        huey: Any,
        settings: Settings,
        heartbeat: HeartbeatWriter,
        counter: MetricCounter,
        reporter: Reporter,
        jobs: JobGroup,
    ) -> None:
        interval: Any = settings.sweep_interval
        if interval is not None:
            upkeep.validate_min_age(interval, "sweep_interval=")
        self._interval = interval
        self._counter = counter
        self._reporter = reporter
        self._jobs = jobs
        self._huey, self._ledger = huey, heartbeat.ledger
        self._is_cancelled = False
        self._lease = heartbeat.ledger.lease("sweep turn", interval or _FIRST_SECONDS)
        self._is_scheduled = False
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._thread: threading.Thread | None = None

    @cached_property
    def _sweeper(self) -> upkeep.Sweeper:
        """The sweeps; made when the first one is due, because most processes never sweep."""
        return upkeep.Sweeper(
            self._huey, ledger=self._ledger, is_cancelled=lambda: self._is_cancelled
        )

    def install(self) -> None:
        """Allow sweeps."""
        self._is_cancelled = False

    def uninstall(self) -> None:
        """Have a running sweep stop before its next step."""
        self._is_cancelled = True

    def on_worker_start(self) -> None:
        """Schedule the job, if `sweep_interval` is set."""
        if self._interval is not None and not self._is_scheduled:
            self._is_scheduled = True
            first = min(self._interval, _FIRST_SECONDS)
            self._jobs.every(self._interval, self._on_tick, _JOB, first=first, run_at_exit=False)

    def sweep(self, min_age: float, dry_run: bool) -> upkeep.SweepReport:
        """Sweep, count what was deleted, and announce the report, even if the sweep stopped early.

        Args:
            min_age: Seconds between two sweeps that find a token orphaned.
            dry_run: Only report what would be deleted.

        Raises:
            SweepStopped: It failed halfway, as when the storage became unreachable.
        """
        try:
            report: upkeep.SweepReport = self._sweeper.run(min_age, dry_run)
        except upkeep.SweepStopped as exc:
            self.report(exc.report)
            raise
        self.report(report)
        return report

    def report(self, report: upkeep.SweepReport) -> None:
        """Count what a sweep has deleted, and announce its report."""
        if not report.dry_run:
            if report.deleted:
                self._counter.add_many(_CLEANED, report.deleted)
            self._reporter.announce(sweep_finished, report=report)

    def _on_tick(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=forwarding_interrupts(self._sweep_if_due), name=_JOB, daemon=True
            )
            self._thread.start()

    def _sweep_if_due(self) -> None:
        try:
            if self._lease.acquire():
                self.sweep(upkeep.DAY, False)
        except Exception as exc:
            if not self._is_cancelled:
                self._reporter.job_failed(_JOB, exc)
