"""What a sink is given: totals, or what has been added to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .names import BOUNDS, LABELS


@dataclass(frozen=True)
class Durations:
    """A histogram: how many durations, their sum in seconds, and how many in each bucket.

    A bucket has those up to its bound in `BOUNDS` that no bucket before it has; the last one
    has the rest.
    """

    count: int = 0
    seconds: float = 0.0
    buckets: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)

    def __add__(self, other: Durations) -> Durations:
        return self._with(other, 1)

    def __sub__(self, other: Durations) -> Durations:
        return self._with(other, -1)

    def _with(self, other: Durations, sign: int) -> Durations:
        pairs = zip(self.buckets, other.buckets, strict=True)
        return Durations(
            self.count + sign * other.count,
            self.seconds + sign * other.seconds,
            tuple(mine + sign * theirs for mine, theirs in pairs),
        )


Value = int | Durations
Key = tuple[str, ...]
"""A metric and the value of each of its labels, in the order of `LABELS`."""
Totals = dict[Key, Value]


@dataclass(frozen=True)
class Sample:
    """One number of one metric: ``Sample("huey_lock_skips_total", {"queue": ...}, 3)``.

    ``value`` is an int, or `Durations` for ``huey_task_duration_seconds``.
    """

    metric: str
    labels: Mapping[str, str]
    value: Value


def sample(key: Key, value: Value) -> Sample:
    """The reading of *key* with its labels named."""
    return Sample(key[0], dict(zip(LABELS[key[0]], key[1:], strict=True)), value)


def added(now: Totals, before: Totals) -> Totals:
    """What *now* has more than *before*; what is the same is left out."""
    return {
        key: _less(value, before[key]) if key in before else value
        for key, value in now.items()
        if value != before.get(key)
    }


def _less(value: Any, other: Any) -> Any:
    return value - other


def merge(into: Totals, more: Totals) -> None:
    """Add *more* to *into*."""
    for key, value in more.items():
        found: Any = into.get(key)
        into[key] = value if found is None else found + value
