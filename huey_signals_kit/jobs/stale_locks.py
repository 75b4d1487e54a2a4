"""A kit's way to locks: what it looks for by itself, and what it does when asked."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from .. import upkeep
from .._checks import short
from .._settings import Settings
from ..dispatch.reporter import Reporter
from ..ledger import HEARTBEAT_SECONDS
from ..metrics.counter import MetricCounter
from ..metrics.names import LOCKS_RELEASED, STALE_LOCKS
from ..runtime.scheduler import JobGroup
from ..signals import lock_released, stale_lock_found
from ..store import Keys, is_read_whole, lock_name_pages, open_store
from .heartbeat import HeartbeatWriter, shares

CHOICES = ("report", "release")
_JOB = "stale locks"
_SECONDS = HEARTBEAT_SECONDS
_TURN_SECONDS = 3 * HEARTBEAT_SECONDS
_ALL_EVERY = 180
"""After how many turns the next pass through the store begins, a few pages each turn.

There is no pass where it would read every result or every file. Each turn also looks at the locks
that are declared or that a process has named.
"""

_PAGES = 20
"""Pages of about 250 keys read in one turn, so that the cost of a turn is bounded."""


_NOTED_EVERY = 60
_MOST_TOLD = 100_000
_MOST_NAMES = 10_000


def validate_choice(stale_locks: object) -> str:
    """``stale_locks=`` of ``install_handlers``."""
    if not isinstance(stale_locks, str):
        raise TypeError(f"stale_locks= takes 'report' or 'release', got {short(stale_locks)}")
    if stale_locks not in CHOICES:
        raise ValueError(f"stale_locks= takes 'report' or 'release', got {short(stale_locks)}")
    return stale_locks


class StaleLockJob:
    """Locks of one kit's Huey; the processes with workers take turns in looking for stale ones."""

    def __init__(
        self,
        huey: Any,
        settings: Settings,
        heartbeat: HeartbeatWriter,
        counts: MetricCounter,
        reporter: Reporter,
        jobs: JobGroup,
    ) -> None:
        self._huey = huey
        self._releases = validate_choice(settings.stale_locks) == "release"
        self._counts = counts
        self._reporter = reporter
        self._jobs = jobs
        self._heartbeat = heartbeat
        # By Huey's own name: 'a.b' and 'ab' have one ledger on Redis, and locks of their own.
        self._turn = heartbeat.ledger.lease(f"locks turn {huey.name}", _TURN_SECONDS)
        self.watch = upkeep.LockInspector(huey, heartbeat.ledger)
        self._told: dict[str, None] = {}
        self._unsettled: set[str] = set()
        self._turns = 0
        self._next_pass = 0
        self._pages: Iterator[list[str]] | None = None
        self._passed: set[str] = set()
        """The names of the locks on the pages of this pass through the store."""
        self._begun = False

    def on_worker_start(self) -> None:
        """This process runs a worker, so it takes its turn."""
        if not self._begun and shares(self._huey):
            self._begun = True
            self._jobs.every(_SECONDS, self._on_tick, _JOB, run_at_exit=False, own_thread=True)

    def release(self, name: str) -> bool:
        """Free one lock, announced and counted."""
        freed = False
        for lock in upkeep.release_named(self._huey, name, self.watch):
            freed = True
            self._released(lock)
        return freed

    def release_stale(
        self, min_age: float, names: Collection[str] | None = None
    ) -> list[upkeep.LockInfo]:
        """Free stale locks, and announce and count each.

        Args:
            min_age: Seconds for which a lock without a holder must be seen unchanged.
            names: Only these locks, and without waiting for a verdict; by default all locks.
        """
        done = upkeep.release_stale(self._huey, min_age, watch=self.watch, names=names)
        for lock in done.released:
            self._released(lock)
        return done.released

    def _on_tick(self) -> None:
        # A process that watches no other process knows nothing about other hosts.
        if not self._heartbeat.watches or not self._turn.acquire():
            return
        self._turns += 1
        if self._turns % _NOTED_EVERY == 1:
            self.watch.note_skips()
            for text in self.watch.older():
                self._reporter.older_version(text)
        looked, is_over = self._look_on()
        found = self.watch.named(sorted(self._names() | looked))
        self._unsettled = {each.name for each in found if not each.settled}
        for lock in found:
            if lock.alive is False and lock.settled:
                self._found(lock)
        if self._releases and is_over:
            self.release_stale(upkeep.UNCLAIMED_SECONDS, self._passed)

    def _look_on(self) -> tuple[set[str], bool]:
        """Return the locks on the next pages of the store, and whether this pass is over."""
        if self._pages is None:
            if self._turns < self._next_pass:
                return set(), False
            self._next_pass, store = self._turns + _ALL_EVERY, open_store(self._huey)
            if is_read_whole(store):
                self._passed = self._names()
                return set(), True
            self._pages, self._passed = lock_name_pages(store, Keys(self._huey)), set()
        pages, self._pages, found = self._pages, None, set[str]()
        for _ in range(_PAGES):
            page = next(pages, None)
            if page is None:
                break
            found.update(page)
        else:
            self._pages = pages
        self._passed |= found
        return found, self._pages is None

    def _names(self) -> set[str]:
        prefix = Keys(self._huey).lock_prefix
        names = self.watch.claimed() | self._unsettled
        if len(self._huey._locks) > _MOST_NAMES:  # as of users; the whole look finds them
            return names
        known = self._huey._locks.copy()
        return names.union(key[len(prefix) :] for key in known if key.startswith(prefix))

    def _found(self, lock: upkeep.LockInfo) -> None:
        acquisition_id = lock.holder.acquisition_id if lock.holder else ""
        if acquisition_id not in self._told:
            self._told[acquisition_id] = None
            if len(self._told) > _MOST_TOLD:
                del self._told[next(iter(self._told))]
            self._counts.add((STALE_LOCKS, self._counts.lock_labels[lock.name]))
            self._reporter.stale_lock(lock.name, lock.host, lock.pid, released=self._releases)
            self._reporter.announce(stale_lock_found, lock=lock)
        if self._releases and upkeep.release_seen(self._huey, lock):
            self._released(lock)

    def _released(self, lock: upkeep.LockInfo) -> None:
        self._counts.add((LOCKS_RELEASED, self._counts.lock_labels[lock.name]))
        self._reporter.announce(lock_released, lock=lock)
