"""Counts of all processes, and how fast they grow from one update to the next."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from ...ledger import HEARTBEAT_SECONDS
from ...metrics.labels import fold, sanitize_label
from ...metrics.names import LOCK_SKIPS, SIGNALS_TOTAL
from ...metrics.values import Totals
from .. import LockInfo
from .model import EVENTS, EventCount, SeenLock

_RATE_SECONDS = 3 * HEARTBEAT_SECONDS
"""Seconds over which rates are computed.

A process writes its counts only every `HEARTBEAT_SECONDS`, so a count stands still and then jumps.
Over several heartbeats the jumps level out.
"""

_EVENT_OF_SIGNAL = {
    "complete": "done",
    "error": "errors",
    "locked": "skipped",
    "revoked": "revoked",
}


class EventRates:
    """The recent totals of one queue, and the rates at which they grow."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start without totals.

        Args:
            clock: A monotonic clock, in seconds.
        """
        self._clock = clock
        self._past: deque[tuple[float, Counter[str]]] = deque()
        self._skipped_tasks: dict[str, Counter[str]] = {}

    def add(self, totals: Totals) -> None:
        """Add the totals of an update; if any has shrunk, the ledger was lost, so start again."""
        counts = _count_events(totals)
        if self._past and any(counts[name] < before for name, before in self._past[-1][1].items()):
            self._past.clear()
        now = self._clock()
        self._past.append((now, counts))
        while len(self._past) > 2 and now - self._past[1][0] >= _RATE_SECONDS:
            self._past.popleft()
        self._skipped_tasks = _count_skipped_tasks(totals)

    def span(self) -> float | None:
        """Return the seconds over which rates are computed.

        None for less than one heartbeat, which would show the counts of five seconds as if they
        were of one.
        """
        span = self._past[-1][0] - self._past[0][0]
        return span if span >= HEARTBEAT_SECONDS else None

    def events(self) -> dict[str, EventCount]:
        """Return total and rate of each kind of event."""
        span, counts = self.span(), self._past[-1][1]
        events = {}
        for name in EVENTS:
            # Without a sink only problems are counted, so a missing "done" is unknown, not zero.
            is_counted = name in counts or not (name == "done" and counts)
            rate = None if span is None or not is_counted else self._growth(name) / span
            events[name] = EventCount(counts[name] if is_counted else None, rate)
        return events

    def with_skips(self, lock: LockInfo) -> SeenLock:
        """Return `lock` with the tasks that could not acquire it."""
        label = sanitize_label(fold(lock.name))
        tasks = self._skipped_tasks.get(label, Counter[str]()).most_common()
        recent = None if self.span() is None else self._growth(_skips_key(label))
        return SeenLock(lock, recent, tuple(tasks))

    def _growth(self, name: str) -> int:
        return self._past[-1][1][name] - self._past[0][1][name]


def _count_events(totals: Totals) -> Counter[str]:
    counts: Counter[str] = Counter()
    for (metric, *labels), value in totals.items():
        if not isinstance(value, int):
            continue
        if metric == SIGNALS_TOTAL:
            counts["signals"] += value
            if labels[-1] in _EVENT_OF_SIGNAL:
                counts[_EVENT_OF_SIGNAL[labels[-1]]] += value
        elif metric == LOCK_SKIPS:
            counts[_skips_key(labels[-1])] += value
    return counts


def _skips_key(label: str) -> str:
    return f"skips of {label}"


def _count_skipped_tasks(totals: Totals) -> dict[str, Counter[str]]:
    """Return for each label of a lock how often which task was skipped."""
    tasks: dict[str, Counter[str]] = {}
    for (metric, *labels), value in totals.items():
        if metric == LOCK_SKIPS and isinstance(value, int):
            tasks.setdefault(labels[-1], Counter())[labels[-2]] += value
    return tasks
