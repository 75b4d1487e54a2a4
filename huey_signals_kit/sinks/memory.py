"""The counts of one kit in one process; every other sink is a view of these."""

from __future__ import annotations

import threading

from .._checks import listed, nearest, short
from .._fork import reset_in_child
from .._huey_facts import SIGNALS
from .labels import FoldedLabels, fold
from .vocabulary import LABELS


class Counts:
    """Totals by metric and labels, exact under threads, from zero in a forked child.

    The first label of every metric is the queue, *queue* for all that is counted here.
    """

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self.lock_labels = FoldedLabels()
        self._reset()
        reset_in_child(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._totals: dict[tuple[str, ...], int] = {}
        self.lock_labels.new_lock()

    _after_fork = _reset

    def add(self, *key: str) -> None:
        """Count one: the metric, then a value for each of its labels but the queue, in order."""
        with self._lock:
            self._totals[key] = self._totals.get(key, 0) + 1

    def total(self, metric: str, labels: dict[str, str]) -> int:
        """The total of *metric* over every label that is not in *labels*."""
        _check(metric, labels)
        wanted = [
            (position, fold(labels[label]) if label == "lock" else labels[label])
            for position, label in enumerate(LABELS[metric])
            if label in labels
        ]
        with self._lock:
            found = [(key, amount) for key, amount in self._totals.items() if key[0] == metric]
        # The queue, the first label of all, stands where a key has the metric.
        return sum(
            amount
            for key, amount in found
            if all((self._queue, *key[1:])[position] == value for position, value in wanted)
        )


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
