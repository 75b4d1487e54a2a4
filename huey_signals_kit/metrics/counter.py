"""The counts of one kit in one process; every other sink is a view of these."""

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
T = TypeVar("T")


class MetricCounter:
    """Totals by metric and labels, exact under threads, from zero in a forked child.

    ``add(key)`` counts one; a key is the metric and a value for each of its labels but the
    first, which is the queue for all of them. It is a deque's own ``append``, the cheapest
    thing that threads can share: adding up is for whoever reads, and for `aggregate_if_large`.
    ``attempts`` has what every attempt leaves, where that is counted.
    """

    def __init__(self, queue: object) -> None:
        self._queue = queue.decode("utf-8", "replace") if isinstance(queue, bytes) else str(queue)
        self.lock_labels = FoldedLabels()
        self.pending: deque[tuple[str, ...]] = deque()
        self.refusals: deque[str] = deque()
        """The name of each lock that was refused, not counted yet."""
        self.add = self.pending.append
        self.attempts = Attempts(first=scheduler.start)
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
        """Count *count* at once."""
        with self._lock:
            self._totals[key] += count
            self._revision += 1

    def aggregate_if_large(self) -> None:
        """Keep what waits to be added up short; to be called now and then."""
        # Never waiting: somebody else may be at it, or this very thread, interrupted by a signal.
        longest = max(len(self.pending), len(self.refusals))
        if longest >= AGGREGATE_AT and self._lock.acquire(blocking=False):
            try:
                self._add_up()
            finally:
                self._lock.release()

    def total(self, metric: str, labels: dict[str, str]) -> int:
        """The total of *metric* over every label that is not in *labels*."""
        _check(metric, labels)
        wanted = {
            label: self.lock_labels.label_of(value) if label == "lock" else value
            for label, value in labels.items()
        }
        named = [
            (dict(zip(LABELS[metric], (self._queue, *key[1:]), strict=True)), value)
            for key, value in self._read().items()
            if key[0] == metric
        ]
        return sum(
            value.count if isinstance(value, Durations) else value
            for given, value in named
            if wanted.items() <= given.items()
        )

    def totals(self) -> Totals:
        """Everything so far, with the queue, and with labels that every sink can write."""
        found: Totals = {}
        for key, value in self._read().items():
            merge(found, {(key[0], *map(sanitize_label, (self._queue, *key[1:]))): value})
        return found

    def _read(self) -> Totals:
        self.aggregate()
        with self._lock:
            found: Totals = dict(self._totals)
            merge(found, self.attempts.totals())
            return found

    def revision(self) -> int:
        """Return a number that changes whenever something is counted."""
        with self._lock:
            self._add_up()
            return self._revision

    def aggregate(self) -> None:
        """Add up what waits for it."""
        with self._lock:
            self._add_up()

    def _add_up(self) -> None:
        taken: list[tuple[str, ...]] = []
        refused: list[str] = []
        try:
            _move(self.pending, taken)
            _move(self.refusals, refused)
        finally:
            # Labels are looked up here, once for each name, to keep the refusal of a lock fast.
            keys = {name: (LOCK_REFUSALS, self.lock_labels[name]) for name in set(refused)}
            taken.extend(map(keys.__getitem__, refused))
            self._totals.update(taken)
        if self.attempts.aggregate() or taken:
            self._revision += 1


def _move(waiting: deque[T], taken: list[T]) -> None:
    # No more than this, or a busy thread could keep this loop running for ever. There may be fewer,
    # if a signal handler interrupts this thread and adds up.
    with suppress(IndexError):
        for _ in range(len(waiting)):
            taken.append(waiting.popleft())


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
