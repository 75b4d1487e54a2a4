"""Show the counts on a registry of prometheus_client."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from itertools import accumulate
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.utils import floatToGoString

from .._checks import short
from ..metrics.gauges import GAUGE_HELP, GAUGE_LABELS, INFO
from ..metrics.labels import FoldedLabels, limit_locks
from ..metrics.names import BOUNDS, HELP, LABELS, TASK_SECONDS
from ..metrics.values import Durations, Totals, merge
from ._shared_totals import WRITE_SECONDS, SharedTotals
from .protocol import PullSink, Source

__all__ = ["PrometheusSink"]

ENVIRONMENT = "PROMETHEUS_MULTIPROC_DIR"

_Family = CounterMetricFamily | HistogramMetricFamily
_LE = (*map(floatToGoString, BOUNDS), "+Inf")


class PrometheusSink(PullSink):
    """A sink that shows every count on a registry.

    A process and the processes that it forks after the kit was installed show their sum, whichever
    of them is scraped. Processes without such a common parent do so if they share a `directory`,
    where each of them has a small file. Files of ended processes of this host are folded into one
    file, whose counts stay until it is deleted.

    With the multiprocess mode of prometheus_client itself, pass the registry that is served.

    Args:
        registry: The registry; by default the one of prometheus_client.
        directory: A folder that all processes can write; by default the environment variable
            ``PROMETHEUS_MULTIPROC_DIR``, if it is set.

    Raises:
        TypeError: An argument has another type.
        ValueError: The folder cannot be created, read or written.
    """

    name = "prometheus"

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        directory: str | os.PathLike[str] | None = None,
    ) -> None:
        if registry is not None and not isinstance(registry, CollectorRegistry):
            raise TypeError(
                "registry= of PrometheusSink takes a prometheus_client.CollectorRegistry, "
                f"got {short(registry)}"
            )
        self._registry = REGISTRY if registry is None else registry
        self._directory = _validated_directory(directory)

    def start(self, source: Source) -> None:
        """Show a source on the registry."""
        collector = _collectors.get(self._registry)
        if collector is None:
            collector = _collectors[self._registry] = _Collector()
        shared = collector.shared
        if self._directory is not None:
            shared = _by_directory.setdefault(self._directory, SharedTotals(self._directory))
        collector.start(self._registry, source, shared)
        source.every(WRITE_SECONDS, shared.write, self.name)

    def stop(self, source: Source) -> None:
        """Keep the last counts of a source, and show no later ones."""
        collector = _collectors.get(self._registry)
        if collector is not None:
            collector.stop(self._registry, source)


class _Collector:
    """The collector of one registry: one family per metric, for all kits together."""

    def __init__(self) -> None:
        self.shared = SharedTotals()
        self._lock_labels = FoldedLabels()
        self._started: dict[Source, SharedTotals] = {}

    def start(self, registry: CollectorRegistry, source: Source, shared: SharedTotals) -> None:
        """Show a source with the totals of the processes in `shared`."""
        if not self._started:
            registry.register(self)
        shared.add(source)
        self._started = {**self._started, source: shared}

    def stop(self, registry: CollectorRegistry, source: Source) -> None:
        """Stop showing a source; leave the registry after the last one."""
        started = dict(self._started)
        shared = started.pop(source, None)
        if shared is None:
            return
        shared.remove(source)
        self._started = started
        if not started:
            with suppress(KeyError):  # other code has unregistered it
                registry.unregister(self)

    def describe(self) -> Iterable[Metric]:
        """Return empty families, which the registry asks for the names."""
        return [info_family([]), *families({})]

    def collect(self) -> Iterable[Metric]:
        """Return the families of a scrape."""
        totals: Totals = {}
        for shared in dict.fromkeys(self._started.values()):
            merge(totals, shared.all_totals())
        for shared in dict.fromkeys(self._started.values()):
            shared.with_initial(totals)
        info = info_family((source.queue, source.storage) for source in self._started)
        return [info, *families(limit_locks(totals, self._lock_labels))]


_collectors: WeakKeyDictionary[CollectorRegistry, _Collector] = WeakKeyDictionary()
_by_directory: dict[str, SharedTotals] = {}


@cache
def _versions() -> tuple[str, str]:
    """Return the versions of the kit and of Huey; "unknown" without installed metadata."""
    names = ("huey-signals-kit", "huey")
    try:
        kit, huey = map(version_of, names)
    except PackageNotFoundError:
        return "unknown", "unknown"
    return kit, huey


def info_family(queues: Iterable[tuple[str, str]]) -> Metric:
    """Return the family of ``huey_signals_info``.

    Args:
        queues: The name of each queue, as a label, and the class of its storage.
    """
    family = GaugeMetricFamily(INFO, GAUGE_HELP[INFO], labels=GAUGE_LABELS[INFO])
    for queue, storage in sorted(set(queues)):
        family.add_metric((queue, *_versions(), storage), 1)
    return family


def families(totals: Totals) -> Iterable[_Family]:
    """Return totals as families of prometheus_client, one for every metric."""
    counters = {
        metric: CounterMetricFamily(metric, HELP[metric], labels=labels)
        for metric, labels in LABELS.items()
        if metric != TASK_SECONDS
    }
    seconds = HistogramMetricFamily(TASK_SECONDS, HELP[TASK_SECONDS], labels=LABELS[TASK_SECONDS])
    for (metric, *labels), value in sorted(totals.items()):
        if isinstance(value, Durations):
            buckets = list(zip(_LE, accumulate(value.buckets), strict=True))
            seconds.add_metric(labels, buckets, value.seconds)
        else:
            counters[metric].add_metric(labels, value)
    return (*counters.values(), seconds)


def _validated_directory(directory: object) -> str | None:
    who = "directory= of PrometheusSink"
    if directory is None:
        directory = os.environ.get(ENVIRONMENT) or None
        who = f"the environment variable {ENVIRONMENT}"
    if directory is None:
        return None
    if not isinstance(directory, (str, os.PathLike)):
        raise TypeError(f"{who} takes the path of a folder, got {short(directory)}")
    try:
        if not os.fspath(directory):
            raise ValueError("it is empty")
        path = os.path.realpath(os.fsdecode(directory))
        os.makedirs(path, exist_ok=True)
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError("it cannot be read and written")
    except (OSError, ValueError) as exc:
        raise ValueError(
            f"{who} takes the path of a folder that all processes can write, "
            f"got {short(directory)}: {exc}"
        ) from exc
    return path
