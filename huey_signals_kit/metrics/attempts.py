"""Collect the durations of attempts, and count the completed ones.

Hot path: every attempt of every task passes here, so it only appends one number to a list. The
numbers are added up later, by a thread that reads the totals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from huey.signals import SIGNAL_COMPLETE, SIGNAL_EXECUTING

from ..huey_internals.facts import class_name
from .names import BOUNDS, SIGNALS_TOTAL, TASK_SECONDS
from .values import Durations, Totals


class _Lists(dict["type | str", "list[Any]"]):
    """A list for each `task_key` of a task: a mapping that fills itself, also under threads."""

    def __init__(self, on_new_class: Callable[[], object] | None = None) -> None:
        self._on_new_class = on_new_class

    def __missing__(self, key: type | str) -> list[Any]:
        if self._on_new_class is not None:
            self._on_new_class()
        return self.setdefault(key, [])


class Attempts:
    """The durations in seconds of attempts, in a list for each `task_key` of a task.

    Append to ``completed[key]`` or ``failed[key]``. An attempt in `completed` is also counted as
    the signals ``executing`` and ``complete``; an attempt in `failed` is not, because `Meter`
    counts its signals.

    Args:
        on_new_class: Called when the first attempt of a class completes in a process.
    """

    def __init__(self, on_new_class: Callable[[], object]) -> None:
        self.completed = _Lists(on_new_class)
        self.failed = _Lists()
        self.reset()

    def reset(self) -> None:
        """Forget all attempts, in a forked child."""
        self._signals: dict[tuple[str, str], int] = {}
        self._durations: dict[str, Durations] = {}
        for lists in (self.completed, self.failed):
            lists.clear()

    def aggregate(self) -> bool:
        """Add up the collected attempts, and return whether there were any.

        Only one thread at a time may call this.
        """
        count = 0
        for key, durations in list(self.completed.items()):
            name, drained = _name(key), _drain(durations)
            count += len(drained)
            self._count(name, SIGNAL_EXECUTING, len(drained))
            self._count(name, SIGNAL_COMPLETE, len(drained))
            self._add(name, drained)
        for key, durations in list(self.failed.items()):
            drained = _drain(durations)
            count += len(drained)
            self._add(_name(key), drained)
        return count > 0

    def _count(self, name: str, signal: str, count: int) -> None:
        if count:
            key = (name, signal)
            self._signals[key] = self._signals.get(key, 0) + count

    def _add(self, name: str, seconds: list[float]) -> None:
        if seconds:
            self._durations[name] = self._durations.get(name, Durations()) + _histogram(seconds)

    def totals(self) -> Totals:
        """Return what was added up, by metric and labels without the queue."""
        signals: Totals = {(SIGNALS_TOTAL, *key): count for key, count in self._signals.items()}
        durations: Totals = {(TASK_SECONDS, task): value for task, value in self._durations.items()}
        return {**signals, **durations}


def _name(key: type | str) -> str:
    return key if isinstance(key, str) else class_name(key)


def _drain(items: list[Any]) -> list[Any]:
    """Remove and return the items of a list to which other threads append meanwhile."""
    count = len(items)
    drained = items[:count]
    del items[:count]
    return drained


def _histogram(seconds: list[float]) -> Durations:
    buckets, rest = [], seconds
    for bound in BOUNDS:
        # Most durations are in the first bucket: cheaper than a search for each duration.
        longer = [duration for duration in rest if duration > bound]
        buckets.append(len(rest) - len(longer))
        rest = longer
    return Durations(len(seconds), sum(seconds), (*buckets, len(rest)))
