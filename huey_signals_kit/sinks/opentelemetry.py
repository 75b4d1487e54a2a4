"""Show the counts to the readers of OpenTelemetry, with observable instruments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import version as version_of
from itertools import accumulate
from typing import Any
from weakref import WeakKeyDictionary

import opentelemetry.metrics as api

from .._checks import short
from ..metrics.names import BOUNDS, HELP, LABELS, TASK_SECONDS
from ..metrics.values import Durations, to_sample
from ..runtime.fork import reset_in_child
from ._sources import Sources
from .protocol import PullSink, Source

__all__ = ["OpenTelemetrySink"]

_SCOPE = "huey_signals_kit"
_FLUSH_SECONDS = 86_400.0
"""Seconds between two flushes; only the flush at the end of the process matters."""

_FLUSH_MILLIS = 4000
_LE = (*map(str, BOUNDS), "+Inf")


class OpenTelemetrySink(PullSink):
    """A sink that shows every count to a meter provider.

    Counters keep their names, and the label `queue` becomes ``messaging.destination.name``. The
    version of the kit is that of the instrumentation scope.

    ``huey_task_duration_seconds`` becomes the counters ``huey_task_duration_seconds_count``,
    ``huey_task_duration_seconds_sum`` and, as in Prometheus,
    ``huey_task_duration_seconds_bucket``, whose attribute ``le`` is the bound up to which it
    counts the durations. In the semantic conventions this is the histogram
    ``messaging.process.duration``. OpenTelemetry has no observable histogram, so the kit would have
    to record each duration. The kit does not do this, because the SDK for Python takes 8
    microseconds to record one, nearly as long as Huey takes to run a task in memory; it loses what
    was recorded before it was set up; and in a forked worker it repeats what the parent had
    recorded.

    Each process shows its own counts, so give its resource a ``service.instance.id``.

    Args:
        meter_provider: The provider; by default the global one, which may also be set later.

    Raises:
        TypeError: The argument is not a meter provider.
    """

    name = "opentelemetry"

    def __init__(self, meter_provider: api.MeterProvider | None = None) -> None:
        if meter_provider is not None and not isinstance(meter_provider, api.MeterProvider):
            raise TypeError(
                "meter_provider= of OpenTelemetrySink takes an "
                f"opentelemetry.metrics.MeterProvider, got {short(meter_provider)}"
            )
        self._meter_provider = meter_provider
        self._is_forked = False
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._is_forked = True

    def start(self, source: Source) -> None:
        """Show a source."""
        _sources_of(self._provider()).add(source)
        source.every(_FLUSH_SECONDS, self._flush, self.name)

    def stop(self, source: Source) -> None:
        """Keep the last counts of a source, and show no later ones."""
        _sources_of(self._provider()).remove(source)

    def _provider(self) -> api.MeterProvider:
        return api.get_meter_provider() if self._meter_provider is None else self._meter_provider

    def _flush(self) -> None:
        # A worker process of Huey ends without atexit, so the SDK would not export the rest.
        flush = getattr(self._provider(), "force_flush", None)
        if self._is_forked and flush is not None:
            flush(_FLUSH_MILLIS)


_by_provider: WeakKeyDictionary[api.MeterProvider, Sources] = WeakKeyDictionary()
_of_global: list[Sources] = []
"""The sources of the global provider; at most one item."""


def _sources_of(provider: api.MeterProvider) -> Sources:
    """Return the sources that a provider shows, and create its instruments in the first call.

    Before an SDK is set, the global provider is a proxy, which passes its instruments on to the
    provider of the SDK. So that provider must not get instruments of its own.
    """
    known = _by_provider.get(provider)
    if known is not None:
        return known
    is_global = provider is api.get_meter_provider()
    if is_global and _of_global:
        sources = _of_global[0]
    else:
        sources = Sources()
        meter = provider.get_meter(_SCOPE, version_of("huey-signals-kit"))
        _create_instruments(meter, sources)
    if is_global:
        _of_global[:] = [sources]
    _by_provider[provider] = sources
    return sources


def _create_instruments(meter: api.Meter, sources: Sources) -> None:
    for metric in LABELS:
        if metric != TASK_SECONDS:
            _create(meter, sources, metric, metric, _total)
    _create(meter, sources, f"{TASK_SECONDS}_count", TASK_SECONDS, _count)
    _create(meter, sources, f"{TASK_SECONDS}_sum", TASK_SECONDS, _sum, unit="s")
    _create(meter, sources, f"{TASK_SECONDS}_bucket", TASK_SECONDS, _buckets)


Observations = Iterable[tuple[float, dict[str, str]]]
"""Values, each with its further attributes."""


def _create(
    meter: api.Meter,
    sources: Sources,
    name: str,
    metric: str,
    observations_of: Callable[[Any], Observations],
    unit: str = "",
) -> None:
    observe = partial(_observe, sources, metric, observations_of)
    meter.create_observable_counter(name, [observe], unit, HELP[metric])


def _observe(
    sources: Sources, metric: str, observations_of: Callable[[Any], Observations], options: object
) -> Iterator[api.Observation]:
    if not sources:
        return
    for key, value in sources.with_initial(sources.totals()).items():
        if key[0] == metric:
            labels = dict(to_sample(key, value).labels)
            queue = {"messaging.system": "huey", "messaging.destination.name": labels.pop("queue")}
            for number, attributes in observations_of(value):
                yield api.Observation(number, {**queue, **labels, **attributes})


def _total(value: int) -> Observations:
    return [(value, {})]


def _count(value: Durations) -> Observations:
    return [(value.count, {})]


def _sum(value: Durations) -> Observations:
    return [(value.seconds, {})]


def _buckets(value: Durations) -> Observations:
    return [(number, {"le": le}) for le, number in zip(_LE, accumulate(value.buckets), strict=True)]
