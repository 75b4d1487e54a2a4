"""The counts of one kit in one process; every other sink is a view of these."""

from __future__ import annotations

import threading

from .._checks import listed, nearest, short
from .._fork import reset_in_child
from .._huey_facts import SIGNALS
from .labels import FoldedLabels, fold
from .vocabulary import LABELS


class Counts:
    """Totals by metric and labels, exact under threads, from zero in a forked child."""

    def __init__(self) -> None:
        self._reset()
        reset_in_child(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._totals: dict[tuple[str, ...], int] = {}
        self._folded = FoldedLabels()

    _after_fork = _reset

    def add(self, metric: str, labels: dict[str, str], amount: int = 1) -> None:
        """Count *amount* under *metric*, with one value for each of its labels."""
        with self._lock:
            values = [
                self._folded(labels[label]) if label == "lock" else labels[label]
                for label in LABELS[metric]
            ]
            key = (metric, *values)
            self._totals[key] = self._totals.get(key, 0) + amount

    def total(self, metric: str, labels: dict[str, str]) -> int:
        """The total of *metric* over every label that is not in *labels*."""
        _check(metric, labels)
        wanted = [
            (position, fold(labels[label]) if label == "lock" else labels[label])
            for position, label in enumerate(LABELS[metric], start=1)
            if label in labels
        ]
        with self._lock:
            found = list(self._totals.items())
        return sum(
            amount
            for key, amount in found
            if key[0] == metric and all(key[position] == value for position, value in wanted)
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
