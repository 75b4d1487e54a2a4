"""Types that sinks get: totals, and samples of what was added to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .names import BOUNDS, LABELS


@dataclass(frozen=True)
class Durations:
    """A histogram of durations.

    The buckets are not cumulative: each counts the durations up to its bound in `BOUNDS` that are
    longer than the bound before it. The last bucket has no bound.
    """

    count: int = 0
    """The number of durations."""
    seconds: float = 0.0
    """The sum of the durations."""
    buckets: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    """The number of durations in each bucket."""

    def __add__(self, other: Durations) -> Durations:
        return self._with(other, 1)

    def __sub__(self, other: Durations) -> Durations:
        return self._with(other, -1)

    def _with(self, other: Durations, sign: int) -> Durations:
        pairs = zip(self.buckets, other.buckets, strict=True)
        return Durations(
            self.count + sign * other.count,
            self.seconds + sign * other.seconds,
            tuple(own + sign * others for own, others in pairs),
        )


Value = int | Durations
Key = tuple[str, ...]
"""A metric and the values of its labels, in the order of `LABELS`."""
Totals = dict[Key, Value]


@dataclass(frozen=True)
class Sample:
    """One value of one series: ``Sample("huey_lock_skips_total", {"queue": ...}, 3)``."""

    metric: str
    labels: Mapping[str, str]
    value: Value
    """An int, or `Durations` for ``huey_task_duration_seconds``."""


def to_sample(key: Key, value: Value) -> Sample:
    """Return the value of a series as a `Sample`, which names the labels."""
    return Sample(key[0], dict(zip(LABELS[key[0]], key[1:], strict=True)), value)


def difference(now: Totals, before: Totals) -> Totals:
    """Return what was added since an earlier time, without the series that are unchanged.

    Args:
        now: The totals now.
        before: The totals at the earlier time.
    """
    return {
        key: _subtract(value, before[key]) if key in before else value
        for key, value in now.items()
        if value != before.get(key)
    }


def _subtract(value: Any, other: Any) -> Any:
    return value - other


def merge(into: Totals, more: Totals) -> None:
    """Add the totals `more` to the totals `into`, in place."""
    for key, value in more.items():
        current: Any = into.get(key)
        into[key] = value if current is None else current + value
