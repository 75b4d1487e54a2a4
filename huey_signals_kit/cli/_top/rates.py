"""What all processes have counted, and how fast it grows, from one look to the next."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from ...ledger import HEARTBEAT_SECONDS
from ...metrics.labels import fold, sanitize_label
from ...metrics.names import LOCK_SKIPS, SIGNALS
from ...metrics.values import Totals
from ...upkeep import LockInfo
from .model import EVENTS, Event, SeenLock

_RATE_SECONDS = 3 * HEARTBEAT_SECONDS
"""Over how long rates are taken: processes tell what they have counted only every few seconds."""

_WORDS = {"complete": "done", "error": "errors", "locked": "skipped", "revoked": "revoked"}


class Counts:
    """Of one queue; given the totals of each look, it tells how they grow."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._past: deque[tuple[float, Counter[str]]] = deque()
        self._tasks: dict[str, Counter[str]] = {}

    def add(self, totals: Totals) -> None:
        """Begin anew where there are fewer than before: the ledger was lost."""
        counted = _counted(totals)
        if self._past and any(counted[name] < was for name, was in self._past[-1][1].items()):
            self._past.clear()
        now = self._clock()
        self._past.append((now, counted))
        while len(self._past) > 2 and now - self._past[1][0] >= _RATE_SECONDS:
            self._past.popleft()
        self._tasks = _turned_away(totals)

    def span(self) -> float | None:
        """None as long as it says nothing: a beat may just have brought what took five seconds."""
        found = self._past[-1][0] - self._past[0][0]
        return found if found >= HEARTBEAT_SECONDS else None

    def events(self) -> dict[str, Event]:
        span, counted = self.span(), self._past[-1][1]
        found = {}
        for name in EVENTS:
            # Without a sink only what went wrong is counted.
            known = name in counted or not (name == "done" and counted)
            more = None if span is None or not known else self._more(name) / span
            found[name] = Event(counted[name] if known else None, more)
        return found

    def lock(self, lock: LockInfo) -> SeenLock:
        label = sanitize_label(fold(lock.name))
        tasks = self._tasks.get(label, Counter[str]()).most_common()
        recent = None if self.span() is None else self._more(_skips_of(label))
        return SeenLock(lock, recent, tuple(tasks))

    def _more(self, name: str) -> int:
        return self._past[-1][1][name] - self._past[0][1][name]


def _counted(totals: Totals) -> Counter[str]:
    found: Counter[str] = Counter()
    for (metric, *labels), value in totals.items():
        if not isinstance(value, int):
            continue
        if metric == SIGNALS:
            found["signals"] += value
            if labels[-1] in _WORDS:
                found[_WORDS[labels[-1]]] += value
        elif metric == LOCK_SKIPS:
            found[_skips_of(labels[-1])] += value
    return found


def _skips_of(label: str) -> str:
    return f"skips of {label}"


def _turned_away(totals: Totals) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for (metric, *labels), value in totals.items():
        if metric == LOCK_SKIPS and isinstance(value, int):
            found.setdefault(labels[-1], Counter())[labels[-2]] += value
    return found
