"""Count in memory for one kit in one process; every sink reads these totals."""

from __future__ import annotations

import threading
from collections import Counter, deque
from contextlib import suppress
from typing import TypeVar

from .._checks import listed, nearest, short
from ..huey_internals.facts import SIGNALS
from ..runtime.fork import reset_in_child
from ..runtime.scheduler import scheduler
from .attempts import Attempts
from .labels import FoldedLabels, sanitize_label
from .names import LABELS, LOCK_REFUSALS
from .values import Durations, Totals, merge

AGGREGATE_AT = 500
"""Counts that may wait to be added up; beyond that a worker adds them up itself."""

T = TypeVar("T")


class MetricCounter:
    """Totals by metric and labels, exact under threads, starting from zero in a forked child.

    ``add(key)`` counts one. A key is the metric and the values of its labels, without the first
    label, which is always the queue. Hot path: `add` is the ``append`` of a deque, which is the
    cheapest operation that threads can share. The keys are added up by the thread that reads the
    totals, or by `aggregate_if_large`.

    Args:
        queue: The name of the Huey.
    """

    def __init__(self, queue: object) -> None:
        self._queue = queue.decode("utf-8", "replace") if isinstance(queue, bytes) else str(queue)
        self.lock_labels = FoldedLabels()
        """The label of each lock name."""
        self.pending: deque[tuple[str, ...]] = deque()
        """The keys that were counted and are not added up yet."""
        self.refusals: deque[str] = deque()
        """The name of each lock that was refused; not added up yet."""
        self.add = self.pending.append
        self.attempts = Attempts(on_new_class=scheduler.start)
        """The durations of attempts, where these are metered."""
        self._reset()
        reset_in_child(self)

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._totals: Counter[tuple[str, ...]] = Counter()
        self._revision = 0
        self.pending.clear()
        self.refusals.clear()
        self.attempts.reset()

    _after_fork = _reset

    def add_many(self, key: tuple[str, ...], count: int) -> None:
        """Count several events of one key.

        Args:
            key: As for `add`.
            count: The number of events.
        """
        with self._lock:
            self._totals[key] += count
            self._revision += 1

    def aggregate_if_large(self) -> None:
        """Add up what is pending, if there is much of it; workers call this now and then."""
        # Without waiting: the lock may be held by another thread that aggregates, or by this
        # thread, which a Unix signal handler has interrupted.
        longest = max(len(self.pending), len(self.refusals))
        if longest >= AGGREGATE_AT and self._lock.acquire(blocking=False):
            try:
                self._aggregate()
            finally:
                self._lock.release()

    def total(self, metric: str, labels: dict[str, str]) -> int:
        """Return the total of a metric, summed over the labels that are left out.

        Args:
            metric: The name of the metric.
            labels: Values of some of its labels; a lock's name is folded as when it is counted.

        Raises:
            ValueError: The metric, a label or a signal is unknown.
            TypeError: The value of a label is not a string.
        """
        _validate_labels(metric, labels)
        wanted = {
            label: self.lock_labels.label_of(value) if label == "lock" else value
            for label, value in labels.items()
        }
        series = [
            (dict(zip(LABELS[metric], (self._queue, *key[1:]), strict=True)), value)
            for key, value in self._raw_totals().items()
            if key[0] == metric
        ]
        return sum(
            value.count if isinstance(value, Durations) else value
            for series_labels, value in series
            if wanted.items() <= series_labels.items()
        )

    def totals(self) -> Totals:
        """Return all totals, with the queue, and with labels that every sink can write."""
        totals: Totals = {}
        for key, value in self._raw_totals().items():
            merge(totals, {(key[0], *map(sanitize_label, (self._queue, *key[1:]))): value})
        return totals

    def _raw_totals(self) -> Totals:
        self.aggregate()
        with self._lock:
            totals: Totals = dict(self._totals)
            merge(totals, self.attempts.totals())
            return totals

    def revision(self) -> int:
        """Return a number that changes whenever something is counted."""
        with self._lock:
            self._aggregate()
            return self._revision

    def aggregate(self) -> None:
        """Add up what is pending."""
        with self._lock:
            self._aggregate()

    def _aggregate(self) -> None:
        keys: list[tuple[str, ...]] = []
        lock_names: list[str] = []
        try:
            _move(self.pending, keys)
            _move(self.refusals, lock_names)
        finally:
            # Labels are looked up here, once for each name, to keep the refusal of a lock fast.
            by_name = {name: (LOCK_REFUSALS, self.lock_labels[name]) for name in set(lock_names)}
            keys.extend(map(by_name.__getitem__, lock_names))
            self._totals.update(keys)
        if self.attempts.aggregate() or keys:
            self._revision += 1


def _move(pending: deque[T], items: list[T]) -> None:
    # No more than the current length, or a busy thread could keep this loop running forever. There
    # may be fewer, if a Unix signal handler interrupts this thread and aggregates.
    with suppress(IndexError):
        for _ in range(len(pending)):
            items.append(pending.popleft())


def _validate_labels(metric: str, labels: dict[str, str]) -> None:
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
