"""A kit's way to upkeep: what it sweeps by itself, and what it does when asked."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from .. import upkeep
from .._settings import Settings
from ..dispatch.reporter import Reporter
from ..metrics.counter import MetricCounter
from ..metrics.names import TOKENS_CLEANED
from ..runtime.fork import reset_in_child
from ..runtime.scheduler import JobGroup
from ..signals import sweep_finished
from .heartbeat import HeartbeatWriter, shares

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

    def purge(self, exceptions: Any, dry_run: bool, kept: bool) -> upkeep.PurgeReport:
        """Return the report of a purge."""
        return upkeep.purge_errors(self.huey, exceptions, dry_run, kept=kept)

    def report(self) -> upkeep.Report:
        """Return a report that includes everything this process has counted."""
        if not shares(self.huey):
            return upkeep.report(self.huey, counted=self._counts.totals())
        self._heartbeat.write()
        self._heartbeat.ledger.fold_dead()
        return upkeep.report(self.huey, ledger=self._heartbeat.ledger)

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


class TokenMethods:
    """What a `Kit` does when asked to."""

    _upkeep: TokenSweepJob

    def sweep_tokens(
        self, min_age: float = upkeep.DAY, dry_run: bool = False
    ) -> upkeep.SweepReport:
        """Delete revoke tokens that two sweeps, *min_age* seconds apart, have found orphaned.

        A token is kept while its task stands anywhere in the queue or the schedule, runs, or
        is nested in one that does, and always if its id is of your own making. With *dry_run*
        nothing is deleted. One process sweeps at a time. `upkeep.SweepStopped` if the storage
        goes away half way: its ``report`` has what was done until then.
        """
        return self._upkeep.sweep(min_age, dry_run)

    def purge_errors(
        self,
        exceptions: str
        | type[BaseException]
        | Iterable[str | type[BaseException]] = upkeep.LOCK_ERRORS,
        dry_run: bool = False,
        *,
        kept: bool = False,
    ) -> upkeep.PurgeReport:
        """Remove stored errors of the classes *exceptions*: lock errors from before the kit.

        Errors of tasks that will run again stay, as do the parts of a chord, and all that
        cannot be read; so do those stored on purpose (``lock_errors="keep"``, a handler's
        `KEEP`), unless *kept*. With *dry_run* nothing is deleted.
        """
        return self._upkeep.purge(exceptions, dry_run, kept)

    def report(self) -> upkeep.Report:
        """What there is in the store, the queue and the schedule, and who works on it."""
        return self._upkeep.report()

    def uninstall(self) -> None:
        """Leave the Huey as it was found."""
        raise NotImplementedError

    def forget(self, dry_run: bool = False) -> upkeep.Forgotten:
        """Uninstall this kit, and delete every key that a kit has written for the queue.

        Results, tokens and locks belong to Huey and stay; so do errors that were to expire.
        Raises `upkeep.StillInUse` if other living processes have a record, or this process holds
        locks: they would write the keys again.

        Args:
            dry_run: Only report what would be deleted.
        """
        if not dry_run:
            upkeep.check_unused_elsewhere(self._upkeep.huey)
            self.uninstall()
        return upkeep.forget(self._upkeep.huey, dry_run)
