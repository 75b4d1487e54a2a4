"""Find stale locks every five seconds, and release them with ``stale_locks="release"``.

A stale lock is one whose holder's process is dead. A lock that names no holder is not released: a
living process without the kit may hold it, so that is left to a person.

The search must cost the same whatever the store holds, so a normal run only looks at three sets of
names: the locks that the application has declared, the locks that a process names in its record,
and the locks that were in doubt at the last run. Locks with other names, such as one per user, are
found by a pass through the store, which begins every 15 minutes and reads a bounded number of pages
per run. There is no pass where listing the lock keys would read every result or every file.

One process at a time does this: the holder of a lease, which must also observe the records of the
other processes, because otherwise it knows nothing about holders on other hosts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Any

from .. import upkeep
from .._checks import short
from .._settings import Settings
from ..dispatch.reporter import Reporter
from ..ledger import HEARTBEAT_SECONDS
from ..metrics.counter import MetricCounter
from ..metrics.names import LOCKS_RELEASED, STALE_LOCKS_FOUND
from ..runtime.scheduler import JobGroup
from ..signals import lock_released, stale_lock_found
from ..store import Keys, is_read_whole, open_store
from .heartbeat import HeartbeatWriter, has_shared_ledger

CHOICES = ("report", "release")
_JOB = "stale locks"
_SECONDS = HEARTBEAT_SECONDS
_LEASE_SECONDS = 3 * HEARTBEAT_SECONDS
_PASS_EVERY = 180
"""Runs between the beginnings of two passes through the store."""

_PAGES = 20
"""Pages of about 250 keys that one run reads."""

_SKIPS_EVERY = 60
"""Runs between two records of the skips counted so far; see `skip_history`."""

_MAX_REPORTED = 100_000
_MAX_DECLARED = 10_000


def validate_choice(stale_locks: object) -> str:
    """Return the argument `stale_locks` of `install_handlers`.

    Raises:
        TypeError: It is not a string.
        ValueError: It is another string than ``"report"`` and ``"release"``.
    """
    if not isinstance(stale_locks, str):
        raise TypeError(f"stale_locks= takes 'report' or 'release', got {short(stale_locks)}")
    if stale_locks not in CHOICES:
        raise ValueError(f"stale_locks= takes 'report' or 'release', got {short(stale_locks)}")
    return stale_locks


class StaleLockJob:
    """The job of one kit that finds stale locks; locks it releases are counted and announced.

    Args:
        huey: The Huey.
        settings: The arguments of `install_handlers`; `stale_locks` is validated here.
        heartbeat: Has the ledger, and says whether this process observes the others.
        counter: Counts stale and released locks.
        reporter: Logs and announces them.
        jobs: The jobs of the kit.
    """

    def __init__(
        self,
        huey: Any,
        settings: Settings,
        heartbeat: HeartbeatWriter,
        counter: MetricCounter,
        reporter: Reporter,
        jobs: JobGroup,
    ) -> None:
        self._huey = huey
        self._should_release = validate_choice(settings.stale_locks) == "release"
        self._counter = counter
        self._reporter = reporter
        self._jobs = jobs
        self._heartbeat = heartbeat
        # By the name of the Huey: 'a.b' and 'ab' share one ledger on Redis, but not their locks.
        # A process that only reports must not block one that releases.
        self._lease = heartbeat.ledger.lease(
            f"locks turn {huey.name}", _LEASE_SECONDS, has_priority=self._should_release
        )
        self._reported: dict[str, None] = {}
        """The acquisition ids of the stale locks that were reported, oldest first."""
        self._unsettled: set[str] = set()
        """The names of the locks whose holder was in doubt at the last run."""
        self._runs = 0
        self._next_pass = 0
        self._pages: Iterator[list[str]] | None = None
        self._passed: set[str] = set()
        """The names of the locks that the current pass through the store has read."""
        self._is_scheduled = False

    @cached_property
    def inspector(self) -> upkeep.LockInspector:
        """Judges locks; created on first use, because a process without workers may need none."""
        return upkeep.LockInspector(self._huey, self._heartbeat.ledger)

    def on_worker_start(self) -> None:
        """Schedule the job, because this process runs a worker."""
        if not self._is_scheduled and has_shared_ledger(self._huey):
            self._is_scheduled = True
            # Imported here: a process must not fork while another thread of it imports.
            _ = self.inspector
            self._jobs.every(_SECONDS, self._on_tick, _JOB, run_at_exit=False, own_thread=True)

    def release(self, name: str) -> bool:
        """Release one lock; return whether it existed and was unchanged when it was released.

        Args:
            name: The name of the lock.

        Raises:
            LockHeld: A living process holds the lock, or that is in doubt.
        """
        lock = upkeep.release_lock(self._huey, name, self.inspector)
        if lock is not None:
            self.report_released(lock)
        return lock is not None

    def release_stale(
        self, min_age: float, names: Collection[str] | None = None
    ) -> list[upkeep.LockInfo]:
        """Release stale locks, and return them.

        Args:
            min_age: Seconds for which a lock that no process claims must be seen unchanged.
            names: Only these locks, and without waiting for holders in doubt; by default all.
        """
        result = upkeep.release_stale(self._huey, min_age, inspector=self.inspector, names=names)
        for lock in result.released:
            self.report_released(lock)
        return result.released

    def report_released(self, lock: upkeep.LockInfo) -> None:
        """Count and announce a lock that was released."""
        self._counter.add((LOCKS_RELEASED, self._counter.lock_labels[lock.name]))
        self._reporter.announce(lock_released, lock=lock)

    def _on_tick(self) -> None:
        # A process that observes no other process knows nothing about other hosts.
        observer = self._heartbeat.observer_lease
        if not observer.held or not self._lease.acquire(take_over=observer.held_long):
            return
        self._runs += 1
        if self._runs % _SKIPS_EVERY == 1:
            self.inspector.store_skips()
            for text in self.inspector.older_versions():
                self._reporter.older_version(text)
        stored_names, is_pass_complete = self._next_pages()
        locks = self.inspector.named(sorted(self._known_names() | stored_names))
        self._unsettled = {lock.name for lock in locks if not lock.is_settled}
        for lock in locks:
            if lock.alive is False and lock.is_settled:
                self._on_stale(lock)
        if self._should_release and is_pass_complete:
            self.release_stale(upkeep.UNCLAIMED_SECONDS, self._passed)

    def _next_pages(self) -> tuple[set[str], bool]:
        """Return the names on the next pages of the store, and whether this pass is complete."""
        if self._pages is None:
            if self._runs < self._next_pass:
                return set(), False
            self._next_pass, store = self._runs + _PASS_EVERY, open_store(self._huey)
            if is_read_whole(store):
                self._passed = self._known_names()
                return set(), True
            keys, self._passed = Keys(self._huey), set()
            self._pages = (
                [keys.lock_name(key) for key in page] for page in store.keys(keys.lock_prefix)
            )
        # The iterator is put back only if it has more pages: after an error a new pass begins.
        pages, self._pages, names = self._pages, None, set[str]()
        for _ in range(_PAGES):
            page = next(pages, None)
            if page is None:
                break
            names.update(page)
        else:
            self._pages = pages
        self._passed |= names
        return names, self._pages is None

    def _known_names(self) -> set[str]:
        prefix = Keys(self._huey).lock_prefix
        names = self.inspector.claimed_names() | self._unsettled
        if len(self._huey._locks) > _MAX_DECLARED:  # such as one per user: left to the pass
            return names
        declared = self._huey._locks.copy()
        return names.union(key[len(prefix) :] for key in declared if key.startswith(prefix))

    def _on_stale(self, lock: upkeep.LockInfo) -> None:
        acquisition_id = lock.holder.acquisition_id if lock.holder else ""
        if acquisition_id not in self._reported:
            self._reported[acquisition_id] = None
            if len(self._reported) > _MAX_REPORTED:
                del self._reported[next(iter(self._reported))]
            self._counter.add((STALE_LOCKS_FOUND, self._counter.lock_labels[lock.name]))
            self._reporter.stale_lock(lock.name, lock.host, lock.pid, self._should_release)
            self._reporter.announce(stale_lock_found, lock=lock)
        if self._should_release and upkeep.release_unchanged(self._huey, lock):
            self.report_released(lock)
