"""Read the locks of a queue at each scrape, without a search of the store.

The names are those that the last report has found and those that processes name in their records. A
lock that was acquired without the kit since then is found by the next report.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...ledger import Ledger, Snapshot
from ...upkeep import LockInfo, LockInspector

MAX_LOCKS = 2000
"""Locks at most that are read at each scrape; with more, the gauges are those of the report."""


@dataclass(frozen=True)
class LockGauges:
    """Values of the lock gauges; semaphores do not count."""

    held: int
    stale: int
    """Locks whose holder is dead."""
    oldest: float
    """Seconds since the oldest one with a known holder was acquired; 0 if there is none."""
    oldest_stale: float


class ScrapeLocks(LockInspector):
    """The locks of one Huey; also the inspector of its reports, which find the names.

    Args:
        huey: The Huey.
        ledger: The ledger of its queue.
        clock: Returns seconds since the epoch.
    """

    def __init__(self, huey: Any, ledger: Ledger, clock: Callable[[], float] = time.time) -> None:
        super().__init__(huey, ledger)
        self._time = clock
        self._current = LockInspector(huey, ledger)
        self.forget()

    def forget(self) -> None:
        """Forget every lock, so that none is shown before the next report."""
        self._names: frozenset[str] | None = None
        self.reported: LockGauges | None = None
        """The locks as of the last report; None before the first."""

    def inspect(
        self, values: Mapping[str, bytes | None], snapshot: Snapshot | None = None
    ) -> Iterator[LockInfo]:
        """Yield a description of each lock that a report has found, and keep the names."""
        locks = list(super().inspect(values, snapshot))
        self.reported = self._gauges(locks)
        self._names = frozenset(lock.name for lock in locks[: MAX_LOCKS + 1])
        return iter(locks)

    def read(self, snapshot: Snapshot) -> LockGauges | None:
        """Return the locks now; None before the first report.

        Args:
            snapshot: The ledger now.
        """
        found = self._names
        if found is None:
            return None
        claimed = (name for process in snapshot.processes for name in process.heartbeat.locks)
        names = found.union(claimed)
        if len(names) > MAX_LOCKS:
            return self.reported
        locks = self._current.named(sorted(names), snapshot) if names else []
        if self._names is found:  # no report has ended meanwhile
            self._names = frozenset(lock.name for lock in locks)
        return self._gauges(locks)

    def _gauges(self, locks: Iterable[LockInfo]) -> LockGauges:
        now, locks = self._time(), list(locks)
        stale = [lock for lock in locks if lock.alive is False]
        oldest, oldest_stale = (
            max((now - lock.since.timestamp() for lock in some if lock.since), default=0.0)
            for some in (locks, stale)
        )
        return LockGauges(len(locks), len(stale), max(0.0, oldest), max(0.0, oldest_stale))
