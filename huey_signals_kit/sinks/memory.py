"""The counts of one kit in one process; every other sink is a view of these."""

from __future__ import annotations

import threading
from collections import Counter, deque

from .._checks import listed, nearest, short
from .._fork import reset_in_child
from .._huey_facts import SIGNALS
from .labels import FoldedLabels, fold
from .vocabulary import LABELS

_SETTLE_AT = 500


class Counts:
    """Totals by metric and labels, exact under threads, from zero in a forked child.

    ``add(key)`` counts one; a key is the metric and a value for each of its labels but the
    first, which is the queue for all of them. It is a deque's own ``append``, the cheapest
    thing that threads can share: adding up is for whoever reads, and for `settle_some`.
    """

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self.lock_labels = FoldedLabels()
        self._pending: deque[tuple[str, ...]] = deque()
        self.add = self._pending.append
        self._reset()
        reset_in_child(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._totals: Counter[tuple[str, ...]] = Counter()
        self._pending.clear()
        self.lock_labels.new_lock()

    _after_fork = _reset

    def settle_some(self) -> None:
        """Keep what waits to be added up short; to be called now and then."""
        if len(self._pending) >= _SETTLE_AT:
            self._settle()

    def total(self, metric: str, labels: dict[str, str]) -> int:
        """The total of *metric* over every label that is not in *labels*."""
        _check(metric, labels)
        wanted = {
            label: fold(value) if label == "lock" else value for label, value in labels.items()
        }
        self._settle()
        with self._lock:
            found = [(key[1:], total) for key, total in self._totals.items() if key[0] == metric]
        named = [
            (dict(zip(LABELS[metric], (self._queue, *values), strict=True)), total)
            for values, total in found
        ]
        return sum(total for given, total in named if wanted.items() <= given.items())

    def _settle(self) -> None:
        with self._lock:
            # Only so many, or a busy neighbour could keep us here for ever.
            for _ in range(len(self._pending)):
                self._totals[self._pending.popleft()] += 1


def _check(metric: str, labels: dict[str, str]) -> None:
    if metric not in LABELS:
        raise ValueError(
            f"count() got the unknown metric {short(metric)}.{nearest(metric, LABELS)} "
            f"The kit counts {listed(LABELS)}"
        )
    for label, value in labels.items():
        if label not in LABELS[metric]:
            raise ValueError(
                f"{metric} has no label {short(label)}.{nearest(label, LABELS[metric])} "
                f"It has {listed(LABELS[metric])}"
            )
        if not isinstance(value, str):
            raise TypeError(f"label {label} of {metric} takes a string, got {short(value)}")
    signal = labels.get("signal", "locked")
    if signal not in SIGNALS:
        raise ValueError(
            f"Huey has no signal {short(signal)}.{nearest(signal, SIGNALS)} "
            f"It has {listed(SIGNALS)}"
        )
