"""The kit of one Huey: what `install_handlers` returns."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from types import TracebackType
from typing import Any

from . import upkeep
from ._lock_errors import LockErrors
from ._settings import Settings
from .dispatch.django_records import DjangoRecords
from .dispatch.handler import Handler
from .dispatch.receiver import Receiver
from .dispatch.reporter import Reporter
from .dispatch.task_option import TaskOption
from .event import Context
from .expiring import Expiry
from .gate import Gate
from .handlers.tokens import token_policy
from .handlers.wait_state import WaitMessages
from .huey_internals.patch import WorkerHooks
from .inflight.patch import QueuePatch
from .integrations.sentry_events import SentryEvents
from .jobs.heartbeat import HeartbeatWriter, has_shared_ledger
from .jobs.null_heartbeat import NullHeartbeat
from .jobs.stale_locks import StaleLockJob
from .jobs.token_sweeps import TokenSweepJob
from .locks.lost_locks import LostLocks
from .locks.manager import LockEvents
from .locks.patch import LockPatch
from .metrics.counter import MetricCounter
from .metrics.names import PAGE_ACTIONS, SIGNALS_TOTAL
from .metrics.values import Key
from .presets import build_preset
from .registry import Registry, default_registry
from .runtime.component import Component
from .runtime.configuration import configuration
from .runtime.per_huey import attach_kit, attached_kit
from .runtime.scheduler import JobGroup, scheduler
from .signals import page_action
from .sinks.configured import read_sinks
from .sinks.runner import SinkRunner


class Kit:
    """The handlers of one Huey, made by `install_handlers`; a context manager that uninstalls.

    `registry` has the user's handlers and includes the default registry. The handlers of the
    preset run after all of these, so the verdict of a user's handler comes first and decides.
    """

    def __init__(self, huey: Any, settings: Settings, is_test: bool = False) -> None:
        """Build all components; `install` puts them on the Huey.

        Args:
            huey: The Huey.
            settings: The arguments of `install_handlers`.
            is_test: Whether the kit exists for the duration of a test: it writes no record, and
                starts no upkeep by itself.
        """
        lock_errors = LockErrors(settings.lock_exceptions)
        should_delete_token = token_policy(settings.clean_tokens)
        self.huey, self.settings = huey, settings
        self.registry = Registry(f"of {huey.name}")
        self.registry.include(default_registry)
        if settings.registry is not None:
            self.registry.include(settings.registry)
        self.on = self.registry.on
        self._preset = build_preset(settings.preset)
        self._counter = counter = MetricCounter(huey.name)
        self._reporter = reporter = Reporter(huey, counter)
        self._jobs = jobs = JobGroup(reporter.job_failed)
        self._task_option = TaskOption(lock_errors)
        self._wait_messages = WaitMessages(huey)
        self._expiry = Expiry(huey, jobs, reporter)
        django_records = DjangoRecords(huey, self._expiry, reporter)
        self._context = Context(
            lock_errors=lock_errors,
            task_verdict=self._task_option.verdict,
            meters_signals=settings.sinks is not None,
            lock_labels=counter.lock_labels,
            increment=counter.add,
            should_delete_token=should_delete_token,
            cancel_django_record=django_records.cancel,
            carry_waits=self._wait_messages.begin,
            announce=reporter.announce,
        )
        gate = Gate(huey, self._task_option, self._expiry, django_records, reporter)
        self._receiver = Receiver(huey, self._context, self, gate, counter, reporter)
        self._sinks = SinkRunner(huey, read_sinks(settings.sinks or ()), counter, self, jobs)
        worker_hooks = WorkerHooks(huey, self._on_worker_start, self._on_worker_stop)
        self._components: list[Component] = [gate, self._wait_messages, worker_hooks]
        if self._context.meters_signals:
            from .metrics.meter import Meter

            connections = self._receiver.connections
            self._components.append(Meter(huey, connections, counter, lock_errors, jobs))
        if settings.quiet_logs:
            from .integrations.quiet_logs import QuietLogs

            self._components.append(QuietLogs(huey, counter.lock_labels, jobs, reporter))
        if settings.sentry:
            sentry = SentryEvents(huey, self._context, self._receiver, reporter)
            self._context.add_skip_breadcrumb = sentry.skips.remember
            self._components.append(sentry)
        lost_locks = LostLocks(str(huey.name), counter, jobs, lambda: self.installed)
        events = LockEvents(
            self._on_lock_acquired, lost_locks.add, reporter.kit_failed, counter, is_test
        )
        lock_patch = LockPatch(huey, events)
        self._heartbeat = (NullHeartbeat if is_test else HeartbeatWriter)(
            huey,
            counter,
            jobs,
            lock_patch,
            reporter,
            self._on_worker_start,
            settings.stale_after,
            settings.stale_locks == "release",
        )
        self.is_test = is_test
        self.application_kit: Kit | None = None
        """The kit that this one replaces for the duration of a test."""
        self.test_kit: Kit | None = None
        """The kit that replaces this one for the duration of a test."""
        self._context.record_skip = self._heartbeat.recent_skips.append
        job_args = huey, settings, self._heartbeat, counter, reporter, jobs
        self._token_sweep_job = TokenSweepJob(*job_args)
        self._stale_lock_job = StaleLockJob(*job_args)
        queue_patch = QueuePatch(
            huey, self._heartbeat.on_scheduler_detected, self._heartbeat.on_periodic_detected
        )
        self._components += (queue_patch, lock_patch, self._token_sweep_job)

    def __repr__(self) -> str:
        state = "installed on" if self.installed else "not installed on"
        return f"<Kit {state} {self.huey.name!r}: {', '.join(map(repr, self.handlers))}>"

    def __enter__(self) -> Kit:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.uninstall()

    @property
    def installed(self) -> bool:
        """Whether this kit is installed on its Huey."""
        return attached_kit(self.huey) is self

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """Every handler, in running order."""
        own = {handler.registration for handler in self.registry}
        preset = (handler for handler in self._preset if handler.registration not in own)
        return (*self.registry, *preset)

    def count(self, metric: str, /, **labels: str) -> int:
        """Return this process's total of a metric, summed over the labels that are left out.

        A lock's name is folded in the same way as for counting: ``lock="media:17"`` returns the
        count of ``media:*``. Only the first 100 such labels have counts of their own; for any
        other lock the count of all others together is returned, as for ``lock="other"``.

        Args:
            metric: The name, such as ``"huey_lock_skips_total"``.
            **labels: Values of its labels, such as ``task="shop.pay"``.

        Raises:
            ValueError: The metric, a label or a signal is unknown; the message lists the known.
            TypeError: The value of a label is not a string.
        """
        if self.test_kit is not None:
            return self.test_kit.count(metric, **labels)
        return self._counter.total(metric, labels)

    def flush(self) -> None:
        """Write and send all counts, within a second.

        A process that ends by itself does this at exit. Call this, or `uninstall`, if the process
        is ended by a signal: for example in the ``lifespan`` of an application under uvicorn.
        """
        self._jobs.flush()

    def sweep_tokens(
        self, min_age: float = upkeep.DAY, dry_run: bool = False
    ) -> upkeep.SweepReport:
        """Delete revoke tokens that two sweeps have found orphaned: their task is gone.

        A token is kept while its task is in the queue or the schedule, runs, or is nested in
        such a task, and always if the task's id was not made by Huey. One process sweeps at a
        time.

        Args:
            min_age: Seconds between two sweeps that find a token orphaned; at least 15.
            dry_run: Only report what would be deleted.

        Raises:
            upkeep.SweepStopped: It failed halfway, as when the storage became unreachable;
                its `report` has what was done.
        """
        return self._token_sweep_job.sweep(min_age, dry_run)

    def purge_errors(
        self,
        exceptions: str
        | type[BaseException]
        | Iterable[str | type[BaseException]] = upkeep.LOCK_ERRORS,
        dry_run: bool = False,
        *,
        kept: bool = False,
    ) -> upkeep.PurgeReport:
        """Delete stored errors, by default lock errors from the time before the kit was installed.

        Errors of tasks that will run again stay, and so do the parts of a chord and everything
        that cannot be read.

        Args:
            exceptions: Exception classes or their names.
            dry_run: Only report what would be deleted.
            kept: Also delete errors that were stored on purpose (``lock_errors="keep"`` of a
                task, `KEEP` of a handler).

        Raises:
            upkeep.PurgeStopped: It failed halfway, as when the storage became unreachable;
                its `report` has what was done.
        """
        return upkeep.purge_errors(self.huey, exceptions, dry_run, kept=kept)

    def purge_results(
        self, min_age: float = upkeep.WEEK, dry_run: bool = False
    ) -> upkeep.ResultPurgeReport:
        """Delete results that two purges, `min_age` apart, found unchanged: no caller fetched them.

        A result is a value under an id that Huey generated, and no error. A result of a task that
        can still run stays, and so do results whose id is in the arguments of such a task. The
        first purge only marks results. One process purges at a time.

        Args:
            min_age: Seconds between two purges that find a result unchanged; longer than any caller
                waits for a result, or reads it with ``preserve=True``. At least 15.
            dry_run: Only report what would be marked and deleted.

        Raises:
            upkeep.ResultPurgeStopped: It failed halfway, as when the storage became unreachable;
                its `report` has what was done.
        """
        report: upkeep.ResultPurgeReport = self._result_purger.run(min_age, dry_run)
        return report

    @cached_property
    def _result_purger(self) -> upkeep.ResultPurger:
        """The purges of results; kept, because it learns which lease is that of a dead process."""
        return upkeep.ResultPurger(self.huey, ledger=self._heartbeat.ledger)

    def report(self) -> upkeep.Report:
        """Return what the store, the queue and the schedule hold, and which processes use them.

        The report includes everything that this process has counted.
        """
        if not has_shared_ledger(self.huey):
            return upkeep.report(self.huey, counted=self._counter.totals())
        self._heartbeat.write()
        self._heartbeat.ledger.fold_dead(keep_workers=True)
        return upkeep.report(self.huey, ledger=self._heartbeat.ledger)

    def locks(self) -> list[upkeep.LockInfo]:
        """Return every lock and semaphore of the queue, by name, with its holder if known."""
        return self._stale_lock_job.inspector.all()

    def release_lock(self, name: str) -> bool:
        """Release one lock; return False if it does not exist, or was acquired again.

        If the holder is on another host and silent, the call may take ``stale_after`` plus up to 15
        seconds (135 by default).

        Args:
            name: The name of the lock.

        Raises:
            upkeep.LockHeld: A living process holds the lock, it is unknown whether one does, or it
                is a semaphore.
        """
        return self._stale_lock_job.release(name)

    def release_stale_locks(
        self, min_age: float = upkeep.UNCLAIMED_SECONDS
    ) -> list[upkeep.LockInfo]:
        """Release locks whose holder is dead, and locks that no process claims; return them.

        If a holder is on another host and silent, the call may take ``stale_after`` plus up to 15
        seconds (135 by default).

        Args:
            min_age: Seconds between two calls that find an unclaimed lock unchanged.
        """
        return self._stale_lock_job.release_stale(min_age)

    def forget(self, dry_run: bool = False) -> upkeep.Forgotten:
        """Uninstall this kit, and delete every key that a kit has written for the queue.

        Results, tokens and locks belong to Huey and stay; so do errors stored with an expiry.

        Args:
            dry_run: Only report what would be deleted.

        Raises:
            upkeep.StillInUse: Other living processes have a record, or this process holds locks:
                they would write the keys again.
        """
        if not dry_run:
            upkeep.validate_unused_elsewhere(self.huey)
            self.uninstall()
        return upkeep.forget(self.huey, dry_run)

    def uninstall(self) -> None:
        """Remove everything that the kit has added to the Huey; patches of other code stay.

        The remaining counts are sent to the sinks, within a second. While this process holds
        locks that it acquired under the kit, it continues its heartbeat.
        """
        with configuration.lock:
            installed = self.installed
            if installed:
                self.detach()
        if installed:
            self.shutdown()

    # `install_handlers`, the components and the web interface call the methods below.

    def initial_keys(self, locks: Iterable[str] = ()) -> list[Key]:
        """Return the key of each series that is known before it is counted.

        Args:
            locks: Names of locks that other processes use.
        """
        keys = self._sinks.initial_keys(locks)
        return (
            keys
            if self._context.meters_signals
            else [key for key in keys if key[0] != SIGNALS_TOTAL]
        )

    def report_page_action(self, action: str, target: str, count: int, user: str) -> None:
        """Count and announce a change that a person made in the web interface.

        See `signals.page_action`.

        Args:
            action: The name of the action.
            target: The lock, the id or the task; empty for the whole queue.
            count: The number of things that were changed.
            user: The user; empty if unknown.
        """
        self._counter.add((PAGE_ACTIONS, action))
        self._reporter.announce(page_action, action=action, target=target, count=count, user=user)
        if not self.is_test:
            scheduler.start()

    def report_released(self, lock: upkeep.LockInfo) -> None:
        """Count and announce a lock that was released in the web interface."""
        self._stale_lock_job.report_released(lock)

    def report_sweep(self, report: upkeep.SweepReport) -> None:
        """Count what a sweep from the web interface has deleted, and announce its report."""
        self._token_sweep_job.report(report)

    def start_sinks(self) -> None:
        """Start the sinks, before another kit is detached for this one, because this may fail."""
        try:
            self._sinks.install()
        except BaseException:
            self._sinks.uninstall()
            self._jobs.cancel()
            raise

    def install(self) -> None:
        """Install all components on the Huey, under the configuration lock."""
        try:
            for component in (*self._components, self._heartbeat):
                component.install()
            for registry in (self.registry, self._preset):
                registry.watch(self._on_registry_change)
            self.registry.close(None)
            self._on_registry_change(None)
        except BaseException:
            self.detach()
            self._jobs.cancel()
            raise
        attach_kit(self.huey, self)

    def detach(self) -> None:
        """Remove all components from the Huey, under the configuration lock.

        Call `shutdown` afterwards, without the lock.
        """
        self._heartbeat.uninstall()
        self.suspend(f"this kit is no longer installed on {self.huey.name!r}")
        self._sinks.uninstall()

    def suspend(self, reason: str) -> None:
        """Remove all patches and receivers, as `detach` does, but leave sinks and jobs as they are.

        `install` puts them back.

        Args:
            reason: The reason, for code that registers a handler on this kit meanwhile.
        """
        if self.installed:
            attach_kit(self.huey, None)
        for registry in (self.registry, self._preset):
            registry.watch(None)
        self.registry.close(reason)
        self._receiver.disconnect()
        for component in reversed(self._components):
            component.uninstall()

    def has_settings(self, settings: Settings) -> bool:
        """Return whether these are the settings of this kit, or of the kit that it replaces."""
        replaced = self.application_kit
        return not self.settings.difference(settings) or (
            replaced is not None and replaced.has_settings(settings)
        )

    def shutdown(self) -> None:
        """Send the remaining counts, and end the jobs of this kit."""
        self.flush()
        self._jobs.cancel()
        self._heartbeat.close()

    def _on_worker_start(self) -> None:
        self._task_option.log_invalid(self.huey)
        may_expire = any(handler.may_return_expire for handler in self.handlers)
        if may_expire or self._task_option.expires_errors_of(self.huey):
            self._expiry.begin()
        if self.is_test:
            return
        self._heartbeat.on_worker_start()
        self._token_sweep_job.on_worker_start()
        self._stale_lock_job.on_worker_start()
        scheduler.start()

    def _on_worker_stop(self, process_ends: bool) -> None:
        self._heartbeat.on_worker_stop()
        if process_ends:  # if not, atexit calls it when all workers have stopped
            scheduler.end()

    def _on_lock_acquired(self) -> None:
        self._heartbeat.on_lock_acquired()

    def _on_registry_change(self, added: Handler | None) -> None:
        self._receiver.update(added)
        functions = [each.function for each in (self.handlers if added is None else (added,))]
        if any(getattr(function, "may_expire", None) is True for function in functions):
            self._expiry.begin()
        if any(getattr(function, "reschedules", None) is True for function in functions):
            self._wait_messages.begin()
