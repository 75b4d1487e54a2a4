"""Metrics of a queue: the counters of all processes, and gauges from a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from ...ledger import Snapshot
from ...metrics.labels import sanitize_label
from ...metrics.values import Totals, merge
from ...sinks.prometheus import families
from ...upkeep import Report
from ...upkeep.monitor.background_read import ReadTimeout
from .reader import QueueReader

OnRead = Callable[[Exception | None, str], object]
"""Called after each read with the error of the storage, or None, and with what is not served."""

SCRAPE_SECONDS = 1.0
"""Seconds that a scrape waits for a report that is due; enough for a small store."""


class QueueCollector(QueueReader):
    """A collector of prometheus_client for one Huey.

    A scrape always succeeds: if the storage fails, it serves ``huey_up 0``. The store is read only
    for a scrape, and at most once per interval.
    """

    def __init__(self, huey: Any, interval: float, on_read: OnRead) -> None:
        """Open the ledger.

        Args:
            huey: The Huey.
            interval: Shortest time between two reports, in seconds.
            on_read: Called after each read.
        """
        super().__init__(huey, interval)
        self._queue = sanitize_label(huey.name)
        self._on_read = on_read

    def describe(self) -> Iterable[Metric]:
        """Return a metric for the registry, without using the storage."""
        return [self._up(False)]

    def collect(self) -> Iterable[Metric]:
        """Return all metrics; only ``huey_up 0`` if the storage fails."""
        try:
            snapshot = self.snapshot()
        except Exception as exc:
            self.discard_report()
            self._on_read(exc, "serving huey_up 0")
            return [self._up(False)]
        counters = families(_sanitize(snapshot.totals))
        metrics = [self._up(True), *counters, self._unreadable(snapshot)]
        try:
            report, at = self.latest_report(SCRAPE_SECONDS)
        except ReadTimeout:
            return metrics
        except Exception as exc:
            self._on_read(exc, "serving no gauges of the store")
            return metrics
        self._on_read(None, "")
        return [*metrics, *self._gauges(report, at)]

    def _up(self, is_up: bool) -> Metric:
        return self._gauge("huey_up", "Whether the storage of the queue can be read.", int(is_up))

    def _unreadable(self, snapshot: Snapshot) -> Metric:
        text = "Records of processes that cannot be read; their counts are missing."
        return self._gauge("huey_ledger_unreadable_records", text, len(snapshot.unreadable))

    def _gauges(self, report: Report, at: float) -> Iterable[Metric]:
        keys = GaugeMetricFamily("huey_store_keys", "Keys in the store.", labels=("queue", "kind"))
        size = GaugeMetricFamily(
            "huey_store_bytes",
            "Bytes of the keys in the store and of their values.",
            labels=("queue", "kind"),
        )
        for kind, total in report.kinds.items():
            keys.add_metric((self._queue, kind), total.keys)
            size.add_metric((self._queue, kind), total.bytes)
        queued, scheduled = report.queue_length, report.schedule.length
        yield keys
        yield size
        yield self._gauge("huey_queue_length", "Messages in the queue.", queued)
        yield self._gauge("huey_schedule_length", "Messages in the schedule.", scheduled)
        text = "Locks in the store, with or without a known holder."
        yield self._gauge("huey_locks_held", text, report.locks.held)
        text = "Locks whose holder's process is dead."
        yield self._gauge("huey_locks_stale", text, report.locks.stale)
        text = "Unix time of the report that the gauges of store, queue, schedule and locks are of."
        yield self._gauge("huey_report_timestamp_seconds", text, at)
        yield self._gauge("huey_report_seconds", "Seconds that this report took.", report.seconds)

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, text, labels=("queue",))
        family.add_metric((self._queue,), value)
        return family


def _sanitize(totals: Totals) -> Totals:
    """Return `totals` with labels that Prometheus accepts: the ledger may have any text."""
    sanitized: Totals = {}
    for (metric, *labels), value in totals.items():
        merge(sanitized, {(metric, *map(sanitize_label, labels)): value})
    return sanitized
