"""Metrics of a queue: the counters of all processes, gauges of its state and of reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from ... import get_kit
from ...ledger import Snapshot
from ...metrics import gauges
from ...metrics.initial import MAX_LOCKS
from ...metrics.labels import FoldedLabels, fold, limit_locks, sanitize_label
from ...metrics.names import LABELS
from ...metrics.values import Totals, merge
from ...sinks.prometheus import families, info_family
from ...upkeep import Report
from ...upkeep.monitor.background_read import ReadTimeout
from ...upkeep.reports.problems import periodic_schedulers
from .reader import CurrentState, QueueReader
from .scrape_locks import LockGauges
from .state import QueueState, count_processes, heartbeat_age, running_since

OnRead = Callable[[Exception | None, str], object]
"""Called after each read with the error of the storage, or None, and with what is not served."""

SCRAPE_SECONDS = 1.0
"""Seconds that a scrape waits for a report that is due; enough for a small store."""

Values = Iterator[tuple[str, tuple[str, ...], float]]
"""The name of a gauge, its labels after the queue, and its value."""


class QueueCollector(QueueReader):
    """A collector of prometheus_client for one Huey.

    A scrape always succeeds: if the storage fails, it serves ``huey_up 0``. The store is read only
    for a scrape, and at most once per interval.
    """

    def __init__(
        self,
        huey: Any,
        interval: float,
        on_read: OnRead,
        has_counters: bool = True,
        has_history: bool = True,
    ) -> None:
        """Open the ledger.

        Args:
            huey: The Huey.
            interval: Shortest time between two reports, in seconds.
            on_read: Called after each read.
            has_counters: Whether to serve the counters of all processes, too.
            has_history: Whether there are several scrapes. Gauges that compare them are not served
                otherwise.
        """
        super().__init__(huey, interval)
        self._queue = sanitize_label(huey.name)
        self._on_read = on_read
        self._has_counters = has_counters
        self._has_history = has_history
        self._lock_labels = FoldedLabels()
        self._seen_locks: set[str] = set()
        """The labels of the locks that processes have held or counted, as far as scrapes saw."""

    def describe(self) -> Iterable[Metric]:
        """Return a metric for the registry, without using the storage."""
        return self._families(iter([(gauges.UP, (), 0.0)]))

    def collect(self) -> Iterable[Metric]:
        """Return all metrics; only ``huey_up 0`` if the storage fails."""
        try:
            state = self.read_state()
        except Exception as exc:
            self.discard_report()
            self._on_read(exc, "serving huey_up 0")
            return self._families(iter([(gauges.UP, (), 0.0)]))
        info = info_family([(self._queue, type(self._huey.storage).__name__)])
        metrics = [info, *self._families(self._values(state))]
        if self._has_counters:
            totals = self._with_initial(_sanitize(state.snapshot.totals), state.snapshot)
            metrics += families(limit_locks(totals, self._lock_labels))
        try:
            report, at = self.latest_report(SCRAPE_SECONDS)
        except ReadTimeout:
            report = None
        except Exception as exc:
            self._on_read(exc, "serving no gauges of the store")
            return metrics
        if report is not None:
            metrics += self._families(_report_values(report, at))
            if state.locks is None and state.error is None and self.locks.reported is not None:
                metrics += self._families(_lock_values(self.locks.reported))
        if state.error is not None:
            self._on_read(state.error, "serving no gauges of the queue and the locks")
        elif report is not None:
            self._on_read(None, "")
        return metrics

    def _with_initial(self, totals: Totals, snapshot: Snapshot) -> Totals:
        """Add the series that the kit of this process knows to `totals`, at zero; return it."""
        kit = get_kit(self._huey)
        if kit is None:
            return totals
        if len(self._seen_locks) <= MAX_LOCKS:
            held = (name for process in snapshot.processes for name in process.heartbeat.locks)
            self._seen_locks.update(map(fold, held))
            self._seen_locks.update(key[-1] for key in totals if LABELS[key[0]][-1] == "lock")
        locks = self._seen_locks if len(self._seen_locks) <= MAX_LOCKS else ()
        for key in kit.initial_keys(locks):
            totals.setdefault(key, 0)
        return totals

    def _values(self, state: CurrentState) -> Values:
        """Yield the gauges of the current state."""
        yield gauges.UP, (), 1
        yield from _process_values(state.snapshot, self._has_history)
        if state.queue is not None:
            yield from _queue_values(state.queue, self._has_history)
        if state.locks is not None:
            yield from _lock_values(state.locks)

    def _families(self, values: Values) -> Iterable[Metric]:
        by_name: dict[str, GaugeMetricFamily] = {}
        for name, labels, value in values:
            family = by_name.get(name)
            if family is None:
                family = by_name[name] = GaugeMetricFamily(
                    name, gauges.GAUGE_HELP[name], labels=gauges.GAUGE_LABELS[name]
                )
            family.add_metric((self._queue, *map(sanitize_label, labels)), value)
        return by_name.values()


def _process_values(snapshot: Snapshot, has_history: bool) -> Values:
    yield gauges.UNREADABLE, (), len(snapshot.unreadable)
    for labels, number in count_processes(snapshot).items():
        yield gauges.PROCESSES, labels, number
    if has_history:
        yield gauges.HEARTBEAT_AGE, (), heartbeat_age(snapshot)
    by_task = periodic_schedulers(snapshot.processes)
    yield gauges.PERIODIC, (), max(map(len, by_task.values()), default=0)
    since = running_since(snapshot)
    yield gauges.RUNNING, (), len(since)
    yield gauges.RUNNING_AGE, (), max(0.0, time.time() - min(since)) if since else 0


def _queue_values(queue: QueueState, has_history: bool) -> Values:
    yield gauges.QUEUED, (), queue.queued
    yield gauges.SCHEDULED, (), queue.scheduled
    if has_history:
        yield gauges.QUEUED_AGE, (), queue.oldest
    if queue.overdue is not None:
        yield gauges.OVERDUE, (), queue.overdue
    yield gauges.LAST_SWEEP, (), queue.last_sweep or 0


def _lock_values(locks: LockGauges) -> Values:
    yield gauges.LOCKS, (), locks.held
    yield gauges.STALE_LOCKS, (), locks.stale
    yield gauges.LOCK_AGE, (), locks.oldest
    yield gauges.STALE_LOCK_AGE, (), locks.oldest_stale


def _report_values(report: Report, at: float) -> Values:
    for kind, total in report.kinds.items():
        yield gauges.KEYS, (kind,), total.keys
        yield gauges.BYTES, (kind,), total.bytes
    for state in gauges.TOKEN_STATES:
        yield gauges.TOKENS, (state,), getattr(report.tokens, state)
    yield gauges.MARKED, (), report.tokens.marked
    yield gauges.REPORT_TIME, (), at
    yield gauges.REPORT_SECONDS, (), report.seconds


def _sanitize(totals: Totals) -> Totals:
    """Return `totals` with labels that Prometheus accepts: the ledger may have any text."""
    sanitized: Totals = {}
    for (metric, *labels), value in totals.items():
        merge(sanitized, {(metric, *map(sanitize_label, labels)): value})
    return sanitized
