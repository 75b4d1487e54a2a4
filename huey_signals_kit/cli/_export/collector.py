"""What is exported: the counters of all processes, and gauges from a report."""

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
from .._shared.background_read import ReadTimeout
from .readings import Readings

Tell = Callable[[Exception | None, str], object]

REPORT_SECONDS = 1.0
"""How long a scrape waits for a report that is due: those of small stores come in this time."""


class QueueCollector(Readings):
    """A collector of prometheus_client over one Huey; a storage that fails is told by it.

    The store is read at most every *interval* seconds, and only when somebody scrapes. *tell*
    is given what a storage raises, or None, and what is missing then.
    """

    def __init__(self, huey: Any, interval: float, tell: Tell) -> None:
        super().__init__(huey, interval)
        self._queue = sanitize_label(huey.name)
        self._tell = tell

    def describe(self) -> Iterable[Metric]:
        """Nothing that needs a storage."""
        return [self._up(False)]

    def collect(self) -> Iterable[Metric]:
        """What there is now; if that cannot be known, that it cannot."""
        try:
            snapshot = self.snapshot()
        except Exception as exc:
            self.forget()
            self._tell(exc, "serving huey_up 0")
            return [self._up(False)]
        found = [self._up(True), *families(_valid(snapshot.totals)), self._unreadable(snapshot)]
        try:
            report, at = self.report(REPORT_SECONDS)
        except ReadTimeout:
            return found
        except Exception as exc:
            self._tell(exc, "serving no gauges of the store")
            return found
        self._tell(None, "")
        return [*found, *self._gauges(report, at)]

    def _up(self, up: bool) -> Metric:
        return self._gauge("huey_up", "Whether the storage of the queue can be read.", int(up))

    def _unreadable(self, snapshot: Snapshot) -> Metric:
        text = "Records of processes that cannot be read; what these counted is missing."
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
        text = "Locks in the store, whoever made them."
        yield self._gauge("huey_locks_held", text, report.locks.held)
        text = "Locks whose holder's process is dead."
        yield self._gauge("huey_locks_stale", text, report.locks.stale)
        text = "When the gauges of the store, the queue and the schedule were made."
        yield self._gauge("huey_report_timestamp_seconds", text, at)
        yield self._gauge("huey_report_seconds", "How long that took.", report.seconds)

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        found = GaugeMetricFamily(name, text, labels=("queue",))
        found.add_metric((self._queue,), value)
        return found


def _valid(totals: Totals) -> Totals:
    """Whatever somebody has written to the ledger, as Prometheus can read it."""
    found: Totals = {}
    for (metric, *labels), value in totals.items():
        merge(found, {(metric, *map(sanitize_label, labels)): value})
    return found
