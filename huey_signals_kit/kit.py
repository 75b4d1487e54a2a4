"""One registry bound to one Huey."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from huey.signals import SIGNAL_REVOKED

from . import signals as announcements
from ._lock_errors import LockErrors
from ._settings import Settings
from .dispatch.handler import Handler, run
from .dispatch.reporter import Reporter
from .dispatch.task_option import TaskOption
from .event import Event
from .expiring import Expiry
from .gate import Gate
from .handlers.counts import count_signals
from .handlers.tokens import token_policy
from .handlers.wait_state import WaitMessages
from .huey_internals.facts import (
    DECIDING,
    ENDED_WITHOUT_EXCEPTION,
    LOCK_SIGNALS,
    SIGNALS,
    WITHOUT_EXCEPTION,
    passed_exception,
)
from .huey_internals.patch import SignalConnections, WorkerHooks
from .huey_internals.stack import caught_by_huey, timing_on_stack
from .inflight.patch import QueuePatch
from .integrations.quiet_logs import QuietLogs
from .integrations.recent_skips import forget
from .integrations.sentry_events import SentryEvents
from .jobs.heartbeat import HeartbeatWriter
from .jobs.stale_locks import LockMethods, StaleLockJob
from .jobs.token_sweeps import TokenMethods, TokenSweepJob
from .locks.lost_locks import LostLocks
from .locks.manager import LockEvents
from .locks.patch import LockPatch
from .metrics.counter import AGGREGATE_AT, MetricCounter
from .metrics.meter import Meter
from .metrics.names import SUPPRESSED
from .presets import build_preset
from .registry import Registry, default_registry
from .runtime.component import Component
from .runtime.configuration import configuration
from .runtime.scheduler import JobGroup, scheduler
from .sinks.configured import read_sinks
from .sinks.runner import SinkRunner
from .verdict import Verdict

ATTRIBUTE = "_huey_signals_kit"
"""Of the Huey, where its kit is found."""


class Kit(TokenMethods, LockMethods):
    """The handlers of one Huey, made by `install_handlers`; a context manager that uninstalls.

    ``registry`` holds the user's handlers and includes the default registry. The preset's
    handlers run after all of these, so a verdict of the user's comes first.
    """

    def __init__(self, huey: Any, settings: Settings) -> None:
        self.lock_errors = LockErrors(settings.lock_exceptions)
        self.should_delete_token = token_policy(settings.clean_tokens)
        self.huey, self.settings = huey, settings
        self.meters_signals = settings.sinks is not None
        self._metered = count_signals if self.meters_signals else None
        self.registry = Registry(f"of {huey.name}")
        self.registry.include(default_registry)
        if settings.registry is not None:
            self.registry.include(settings.registry)
        self.on = self.registry.on
        self._preset = build_preset(settings.preset)
        self._routes: dict[str, tuple[Handler, ...]] = {}
        self._connections = SignalConnections(huey)
        self._counts = MetricCounter(huey.name)
        self.increment = self._counts.add
        self._tallied = self._counts.pending
        self.lock_labels = self._counts.lock_labels
        self._reporter = Reporter(huey, self.increment)
        self.announce, failed = self._reporter.announce, self._reporter.kit_failed
        self._task_option = TaskOption()
        self._jobs = JobGroup(self._reporter.job_failed)
        lost_locks = LostLocks(str(huey.name), self._counts, self._jobs, lambda: self.installed)
        self._expiry = Expiry(huey, self._jobs, failed)
        self._gate = Gate(huey, self.task_verdict, self._expiry.put, self._suppressed, failed)
        sinks = read_sinks(settings.sinks or ())
        self._sinks = SinkRunner(huey, sinks, self._counts, lambda: self.handlers, self._jobs)
        workers = WorkerHooks(huey, self._on_worker_start, self._on_worker_stop)
        waiting = WaitMessages(huey)
        self.carry_waits = waiting.begin
        self._components: list[Component] = [self._gate, waiting, workers]
        if self.meters_signals:
            meter = Meter(huey, self._connections, self._counts, self.lock_errors, self._jobs)
            self._components.append(meter)
        if settings.quiet_logs:
            self._components.append(QuietLogs(huey, self.lock_labels, self._jobs, failed))
        self.add_skip_breadcrumb = forget
        if settings.sentry:
            sentry = SentryEvents(huey, self, self._listeners, self.task_verdict, failed)
            self.add_skip_breadcrumb = sentry.skips.remember
            self._components.append(sentry)
        told = LockEvents(
            lambda: self._heartbeat.lock_taken(), lost_locks.add, self._counts, failed
        )
        locks = LockPatch(huey, told)
        counted = self._counts.totals, self._counts.revision
        beats = huey, *counted, self._jobs, self._on_worker_start, locks
        self._heartbeat = HeartbeatWriter(*beats, self._reporter.job_failed, settings.stale_after)
        self.record_skip: Callable[[tuple[str, str, float]], None] = self._heartbeat.skips.append
        shared = huey, settings, self._heartbeat, self._counts, self._reporter, self._jobs
        self._upkeep, self._stale_lock_job = TokenSweepJob(*shared), StaleLockJob(*shared)
        in_hand = QueuePatch(huey, self._heartbeat.on_scheduler_detected)
        # The pulse last: what the others still count is in its beat.
        self._components += (in_hand, locks, self._upkeep, self._heartbeat)

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
        """Whether this kit is at work on its Huey."""
        return getattr(self.huey, ATTRIBUTE, None) is self

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """Every handler, in running order."""
        mine = {handler.registration for handler in self.registry}
        theirs = (handler for handler in self._preset if handler.registration not in mine)
        return (*self.registry, *theirs)

    def count(self, metric: str, /, **labels: str) -> int:
        """This process's total of *metric*; labels that are left out are summed over.

        A lock's name is folded as it is when counted: ``lock="media:17"`` asks for
        ``media:*``. Only the first 100 such labels have counts of their own; any other lock returns
        the count of all others together, as ``lock="other"``. The ``ValueError`` for a wrong name
        lists the valid ones.
        """
        return self._counts.total(metric, labels)

    def flush(self) -> None:
        """Write and send all counts, within a second.

        A process that ends by itself does this at exit. Call this, or `uninstall`, if the process
        is ended by a signal: for example in the ``lifespan`` of an application under uvicorn.
        """
        self._jobs.flush()

    def uninstall(self) -> None:
        """Leave the Huey as it was found; what other code has put there since stays.

        Sinks get the counts that they have not had, within a second. While this process holds
        locks that it acquired under the kit, it continues its heartbeat.
        """
        with configuration.lock:
            installed = self.installed
            if installed:
                self.detach()
        if installed:
            self.shutdown()

    def start_sinks(self) -> None:
        """Start what may refuse to, before another kit is taken out for this one."""
        try:
            self._sinks.install()
        except BaseException:
            self._sinks.uninstall()
            self._jobs.cancel()
            raise

    def install(self) -> None:
        """Put it on the Huey; for `install_handlers`, under the lock of all registries."""
        try:
            for component in self._components:
                component.install()
            for registry in (self.registry, self._preset):
                registry.watch(self._registry_changed)
            self.registry.close(None)
            self._registry_changed(None)
        except BaseException:
            self.detach()
            self._jobs.cancel()
            raise
        setattr(self.huey, ATTRIBUTE, self)

    def detach(self) -> None:
        """Take it off the Huey, under that lock; `close` has to follow, without it."""
        if self.installed:
            delattr(self.huey, ATTRIBUTE)
        for registry in (self.registry, self._preset):
            registry.watch(None)
        self.registry.close(f"this kit is no longer installed on {self.huey.name!r}")
        self._connections.disconnect_all()
        self._routes = dict.fromkeys(SIGNALS, ())
        for component in reversed(self._components):
            component.uninstall()
        self._sinks.uninstall()

    def shutdown(self) -> None:
        """Send what is left to send, and end what the tick does for this kit."""
        self.flush()
        self._jobs.cancel()
        self._heartbeat.close()

    def _on_worker_start(self) -> None:
        may_expire = any(handler.may_return_expire for handler in self.handlers)
        if may_expire or self._task_option.expires_errors_of(self.huey):
            self._expiry.begin()
        self._heartbeat.on_worker_start()
        self._upkeep.on_worker_start()
        self._stale_lock_job.on_worker_start()
        scheduler.start()

    def _on_worker_stop(self, process_ends: bool) -> None:
        self._heartbeat.on_worker_stop()
        if process_ends:  # else that is for atexit, when all workers have stopped
            scheduler.end()

    def _registry_changed(self, added: Handler | None) -> None:
        # Routes are found when a signal arrives: most handlers are registered one after another.
        self._routes = {}
        handlers = self.handlers if added is None else (added,)
        listening = [each for each in handlers if each.function is not self._metered]
        wanted = {
            each for each in SIGNALS if any(handler.listens_to(each) for handler in listening)
        }
        connect = self._connections.connect if added is None else self._connections.connect_also
        connect(self._receive, wanted)
        if any(getattr(each.function, "may_expire", None) is True for each in handlers):
            self._expiry.begin()
        if any(getattr(each.function, "reschedules", None) is True for each in handlers):
            self.carry_waits()

    def _receive(
        self, signal: str, task: Any, exception: Any = None, /, *others: object, **named: object
    ) -> None:
        verdict = None
        raised = exception
        if others or named or not (raised is None or isinstance(raised, BaseException)):
            raised = passed_exception(signal, (exception, *others, *named.values()))
        if raised is None and signal in WITHOUT_EXCEPTION:
            raised = caught_by_huey(signal)
        try:
            timing = timing_on_stack(task) if signal in ENDED_WITHOUT_EXCEPTION else None
            event = Event(signal, task, self.huey, raised, timing, self)
            listeners = self._routes.get(signal) or self._listeners(signal)
            verdict = run(listeners, event, self._reporter.handler_failed)
            if len(self._tallied) >= AGGREGATE_AT:
                self._counts.aggregate_if_large()
            if scheduler.thread is None and scheduler.jobs:
                scheduler.start()
            if announcements.lock_skipped.receivers or announcements.task_revoked.receivers:
                self._announce(event)
        except Exception as exc:
            self._reporter.kit_failed(f"on {signal}", exc)
        finally:
            if raised is not None and signal in DECIDING:
                self._gate.attach(task, raised, verdict)

    def _listeners(self, signal: str) -> tuple[Handler, ...]:
        routes = self._routes  # another thread may replace it meanwhile
        found = routes.get(signal)
        if found is None:
            hearing = (each for each in self.handlers if each.listens_to(signal))
            found = routes[signal] = tuple(h for h in hearing if h.function is not self._metered)
        return found

    def _announce(self, event: Event) -> None:
        if event.signal == SIGNAL_REVOKED:
            self.announce(announcements.task_revoked, event=event)
        elif event.signal in LOCK_SIGNALS and event.is_lock_error:
            self.announce(announcements.lock_skipped, event=event)

    def task_verdict(self, task: Any, exception: BaseException) -> Verdict | None:
        """What the task's own ``lock_errors`` says about *exception*, if that is a lock error."""
        return self._task_option(task) if self.lock_errors.match(exception) else None

    def _suppressed(self, task_id: str, task_name: str, verdict: Verdict) -> None:
        if verdict.plan is not None:
            return  # nothing was suppressed: the task will run again
        self.increment((SUPPRESSED, task_name, verdict.action))
        if len(self._tallied) >= AGGREGATE_AT:
            self._counts.aggregate_if_large()
        suppressed = announcements.result_suppressed
        if suppressed.receivers:
            self.announce(suppressed, task_id=task_id, task_name=task_name, verdict=verdict)
