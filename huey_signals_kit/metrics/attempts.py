"""How long attempts took, and how many completed.

Every task passes here, so all it leaves is one item in a list; adding up is for later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from huey.signals import SIGNAL_COMPLETE, SIGNAL_EXECUTING

from .names import BOUNDS, SIGNALS, TASK_SECONDS
from .values import Durations, Totals


class _Lists(dict[type, "list[Any]"]):
    """A list for each class of tasks: a mapping that fills itself, also under threads."""

    def __init__(self, first: Callable[[], object] | None = None) -> None:
        self._first = first

    def __missing__(self, kind: type) -> list[Any]:
        if self._first is not None:
            self._first()
        return self.setdefault(kind, [])


class Attempts:
    """For each class of tasks the seconds of its attempts, to be appended to.

    One that ``completed`` is counted as a signal as well, one that ``failed`` is not. *first*
    is called when the first task of a class completes in a process.
    """

    def __init__(self, first: Callable[[], object]) -> None:
        self.completed = _Lists(first)
        self.failed = _Lists()
        self.reset()

    def reset(self) -> None:
        """Begin from zero."""
        self._signals: dict[tuple[str, str], int] = {}
        self._durations: dict[str, Durations] = {}
        for lists in (self.completed, self.failed):
            lists.clear()

    def aggregate(self) -> bool:
        """Add up the collected attempts, and return whether there were any.

        Only one thread at a time may call this.
        """
        found = 0
        for kind, seconds in list(self.completed.items()):
            taken = _taken(seconds)
            found += len(taken)
            self._count(kind, SIGNAL_EXECUTING, len(taken))
            self._count(kind, SIGNAL_COMPLETE, len(taken))
            self._add(kind, taken)
        for kind, seconds in list(self.failed.items()):
            taken = _taken(seconds)
            found += len(taken)
            self._add(kind, taken)
        return found > 0

    def _count(self, kind: type, signal: str, more: int) -> None:
        if more:
            key = (_name(kind), signal)
            self._signals[key] = self._signals.get(key, 0) + more

    def _add(self, kind: type, seconds: list[float]) -> None:
        if seconds:
            name = _name(kind)
            self._durations[name] = self._durations.get(name, Durations()) + _durations(seconds)

    def totals(self) -> Totals:
        """What was added up, by metric and labels without the queue."""
        signals: Totals = {(SIGNALS, *key): count for key, count in self._signals.items()}
        return {**signals, **{(TASK_SECONDS, task): each for task, each in self._durations.items()}}


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__name__}"


def _taken(items: list[Any]) -> list[Any]:
    # Only so many: what other threads append meanwhile stays for the next time.
    count = len(items)
    taken = items[:count]
    del items[:count]
    return taken


def _durations(seconds: list[float]) -> Durations:
    buckets, rest = [], seconds
    for bound in BOUNDS:
        # Most are in the first: cheaper than to look up the place of each.
        longer = [each for each in rest if each > bound]
        buckets.append(len(rest) - len(longer))
        rest = longer
    return Durations(len(seconds), sum(seconds), (*buckets, len(rest)))
