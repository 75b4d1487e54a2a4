"""Shows the counts to OpenTelemetry's readers, by observable instruments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate
from typing import Any
from weakref import WeakKeyDictionary

import opentelemetry.metrics as api

from .._checks import short
from ..metrics.names import BOUNDS, HELP, LABELS, TASK_SECONDS
from ..metrics.values import Durations, sample
from ..runtime.fork import reset_in_child
from ._sources import Sources
from .protocol import PullSink, Source

_SCOPE = "huey_signals_kit"
_AT_THE_END = 86_400.0  # seconds; the job matters when the process ends
_FLUSH_MILLIS = 4000
_LE = (*map(str, BOUNDS), "+Inf")


class OpenTelemetrySink(PullSink):
    """Shows every count to *meter_provider*, the global one when None, also if that is set later.

    Counters keep their names. No observable instrument is a histogram, and single durations
    are not kept: ``huey_task_duration_seconds`` becomes the counters
    ``huey_task_duration_seconds_count``, ``_sum`` and, as in Prometheus, ``_bucket`` with an
    attribute ``le``, each with all that were not longer. The
    queue is ``messaging.destination.name``.

    Each process shows its own counts: give its resource a ``service.instance.id``.
    """

    name = "opentelemetry"

    def __init__(self, meter_provider: api.MeterProvider | None = None) -> None:
        if meter_provider is not None and not isinstance(meter_provider, api.MeterProvider):
            raise TypeError(
                "meter_provider= of OpenTelemetrySink takes an "
                f"opentelemetry.metrics.MeterProvider, got {short(meter_provider)}"
            )
        self._given = meter_provider
        self._forked = False
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._forked = True

    def start(self, source: Source) -> None:
        """Have *source* observed."""
        _observed_by(self._provider()).add(source)
        source.every(_AT_THE_END, self._flush, self.name)

    def stop(self, source: Source) -> None:
        """What *source* counts from now on is not observed."""
        _observed_by(self._provider()).remove(source)

    def _provider(self) -> api.MeterProvider:
        return api.get_meter_provider() if self._given is None else self._given

    def _flush(self) -> None:
        # A worker that Huey forked ends without atexit, so without the SDK's last export.
        flush = getattr(self._provider(), "force_flush", None)
        if self._forked and flush is not None:
            flush(_FLUSH_MILLIS)


_by_provider: WeakKeyDictionary[api.MeterProvider, Sources] = WeakKeyDictionary()
_of_global: list[Sources] = []


def _observed_by(provider: api.MeterProvider) -> Sources:
    """The sources that *provider* observes, by instruments that are made once.

    Before an SDK is set, the global provider is another object, which passes its
    instruments on: the SDK's has them already.
    """
    found = _by_provider.get(provider)
    if found is not None:
        return found
    is_global = provider is api.get_meter_provider()
    if is_global and _of_global:
        sources = _of_global[0]
    else:
        sources = Sources()
        _make_instruments(provider.get_meter(_SCOPE), sources)
    if is_global:
        _of_global[:] = [sources]
    _by_provider[provider] = sources
    return sources


def _make_instruments(meter: api.Meter, sources: Sources) -> None:
    for metric in LABELS:
        if metric != TASK_SECONDS:
            _make(meter, sources, metric, metric, _total)
    _make(meter, sources, f"{TASK_SECONDS}_count", TASK_SECONDS, _count)
    _make(meter, sources, f"{TASK_SECONDS}_sum", TASK_SECONDS, _sum, unit="s")
    _make(meter, sources, f"{TASK_SECONDS}_bucket", TASK_SECONDS, _buckets)


Figures = Iterable[tuple[float, dict[str, str]]]


def _make(
    meter: api.Meter,
    sources: Sources,
    name: str,
    metric: str,
    figures: Callable[[Any], Figures],
    unit: str = "",
) -> None:
    observe = partial(_observe, sources, metric, figures)
    meter.create_observable_counter(name, [observe], unit, HELP[metric])


def _observe(
    sources: Sources, metric: str, figures: Callable[[Any], Figures], options: object
) -> Iterator[api.Observation]:
    if not sources:
        return
    for key, value in sources.shown(sources.totals()).items():
        if key[0] == metric:
            labels = dict(sample(key, value).labels)
            queue = {"messaging.system": "huey", "messaging.destination.name": labels.pop("queue")}
            for number, more in figures(value):
                yield api.Observation(number, {**queue, **labels, **more})


def _total(value: int) -> Figures:
    return [(value, {})]


def _count(value: Durations) -> Figures:
    return [(value.count, {})]


def _sum(value: Durations) -> Figures:
    return [(value.seconds, {})]


def _buckets(value: Durations) -> Figures:
    return [(number, {"le": le}) for le, number in zip(_LE, accumulate(value.buckets), strict=True)]
