"""Find the holder of every lock of a queue, and whether its process is alive.

A lock that was acquired under a kit names its holder in its value. On the host of the holder, the
operating system tells immediately whether its process is alive. From another host, only the
holder's records in the ledger tell: a process with a lock writes one every five seconds, and a few
observers measure for how long each record was unchanged. The same silence can mean that the holder
is dead, that it was cut off, or that no process could write. So an answer has two parts: whether
the holder is alive as far as this process knows, and whether that is settled. A lock whose answer
is not settled is never released.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ...ledger import (
    HEARTBEAT_SECONDS,
    OVERDUE_SECONDS,
    Ledger,
    Observer,
    Snapshot,
    observing,
    older_text,
    open_ledger,
)
from ...locks.held import held_locks_of, is_held_here
from ...locks.holder import Holder, parse_holder
from ...metrics.labels import fold, sanitize_label
from ...runtime.process_id import this_process
from ...store import (
    UPKEEP,
    Keys,
    Reader,
    Store,
    Unreadable,
    chunks,
    is_key,
    open_kit_store,
    open_store,
)
from .._common import to_datetime
from .info import LockInfo
from .skip_history import recent_skips, store_skips

_SERIES_SECONDS = 2 * HEARTBEAT_SECONDS
"""Seconds at most between two inspections that count as uninterrupted."""

_NOTES_SECONDS = 2 * HEARTBEAT_SECONDS + 3.0
"""Seconds within which every living observer has written the silences that it has measured."""

_EXTRA_SECONDS = OVERDUE_SECONDS
"""Seconds that a command that observes waits beyond ``stale_after``."""

_MAX_FAILURES = 3
"""A command gives up after this number of failed writes of its own record in a row."""

_POLL_SECONDS = 0.5


class _HolderStatus(NamedTuple):
    """The status of a holder; the fields are those of `LockInfo`."""

    alive: bool | None
    is_unclaimed: bool = False
    is_settled: bool = True
    silent: float | None = None
    doubt: str = ""


class LockInspector:
    """The inspection of one Huey's locks.

    Keep this object for repeated inspections: the ledger remembers for how long the records of
    other processes were unchanged.

    Args:
        huey: The Huey.
        ledger: The ledger of its queue; opened if missing.
        clock: Returns seconds of a monotonic clock.
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self,
        huey: Any,
        ledger: Ledger | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._huey = huey
        self._ledger = ledger or open_ledger(huey)
        self._clock = clock
        self._sleep = sleep
        self._unheld: dict[tuple[str, bytes], tuple[float, float]] = {}
        """By lock and value: when this process was first and last seen not to hold its lock."""

    def all(self) -> list[LockInfo]:
        """Return every lock and semaphore in the store, sorted by name."""
        store, keys = open_store(self._huey), Keys(self._huey)
        entries = (entry for batch in store.entries(keys.lock_prefix) for entry in batch)
        values = {keys.lock_name(entry.key): entry.value for entry in entries}
        locks = [*self.inspect(values), *self._semaphores(store)]
        return sorted(locks, key=lambda lock: lock.name)

    def named(self, names: list[str], snapshot: Snapshot | None = None) -> list[LockInfo]:
        """Return the locks with these names that are held, without a scan of the store.

        A name that a record of the ledger has, and that no key can have, is left out.

        Args:
            names: The names.
            snapshot: The ledger now; read if missing.
        """
        prefix, store = Keys(self._huey).lock_prefix, open_store(self._huey)
        values: dict[str, bytes | None] = {}
        for batch in chunks(filter(is_key, names)):
            values.update(zip(batch, store.get([prefix + name for name in batch]), strict=True))
        held = {name: raw for name, raw in values.items() if raw is not None}
        return list(self.inspect(held, snapshot))

    def store_skips(self) -> None:
        """Store the skips so far, so that later inspections know those of the last hour."""
        store_skips(open_kit_store(self._huey, UPKEEP), self._ledger.snapshot(), time.time())

    def older_versions(self) -> list[str]:
        """Return a message for each process of version 0.1 that may be alive; see `older_text`."""
        return [older_text(record) for record in self._ledger.snapshot().older]

    def claimed_names(self) -> set[str]:
        """Return the names of the locks that any process names in its record."""
        return {name for process in self._ledger.processes() for name in process.heartbeat.locks}

    def inspect(
        self, values: Mapping[str, bytes | None], snapshot: Snapshot | None = None
    ) -> Iterator[LockInfo]:
        """Yield a description of each lock.

        Args:
            values: The stored value of each lock by name; None if it is held and its value unknown.
            snapshot: The ledger now; read if missing.
        """
        if not values:
            return
        snapshot, reader = snapshot or self._ledger.snapshot(), Reader(self._huey)
        self._forget_unheld()
        skips = recent_skips(open_kit_store(self._huey, UPKEEP), snapshot, time.time())
        for name, raw in values.items():
            holder = None if raw is None else _parse(reader, raw)
            common: dict[str, Any] = {
                "skips": skips[sanitize_label(fold(name))],
                "raw": raw or b"",
                "holder": holder,
            }
            if holder is None:
                status = self._anonymous_status(name, snapshot)
            else:
                status = self._holder_status(name, raw or b"", holder, snapshot)
                common |= {
                    "since": to_datetime(holder.since),
                    "task_id": holder.task_id,
                    "task_name": holder.task_name,
                    "host": holder.process.host,
                    "pid": holder.process.pid,
                }
            yield LockInfo(name, **status._asdict(), **common)

    def wait_until_known(
        self,
        names: list[str] | None = None,
        on_wait: Callable[[], object] = lambda: None,
        should_observe: bool = False,
    ) -> list[LockInfo]:
        """Return the locks, after waiting until it is known which holders are alive, if possible.

        Args:
            names: Only these locks, or the semaphores with these names; by default all.
            on_wait: Called repeatedly while this waits.
            should_observe: Whether to write a record of its own, and to observe silent holders.
                Then this waits for ``stale_after`` plus up to 15 seconds (135 by default).
                Otherwise it waits only until every other observer has written what it has measured.
        """
        locks = self.all() if names is None else self.named(names)
        if names is not None:
            others = set(names).difference(lock.name for lock in locks)
            locks += self._semaphores(open_store(self._huey), others)
        if all(lock.is_settled for lock in locks):
            return locks
        if not should_observe:
            return self._wait(locks, on_wait, None, _NOTES_SECONDS)
        with observing(self._ledger, self._clock) as observer:
            seconds = self._ledger.stale_after() + _EXTRA_SECONDS
            locks = self._wait(locks, on_wait, observer, seconds)
        if observer.failures:
            doubt = f"this command cannot write to the storage to watch: {observer.error!r}"
            locks = [lock if lock.is_settled else replace(lock, doubt=doubt) for lock in locks]
        return locks

    def _wait(
        self,
        locks: list[LockInfo],
        on_wait: Callable[[], object],
        observer: Observer | None,
        seconds: float,
    ) -> list[LockInfo]:
        deadline = self._clock() + seconds
        while unsettled := sorted(lock.name for lock in locks if not lock.is_settled):
            if self._clock() > deadline or (observer and observer.failures >= _MAX_FAILURES):
                break
            on_wait()
            if observer is not None:
                observer.step()
            self._sleep(_POLL_SECONDS)
            settled = [lock for lock in locks if lock.is_settled]
            locks = [*settled, *self.named(unsettled)]
        # Once more: a process that counted as dead may have been cut off, and be back.
        dead = [lock.name for lock in locks if lock.alive is False]
        locks = [*(lock for lock in locks if lock.alive is not False), *self.named(dead)]
        return sorted(locks, key=lambda lock: lock.name)

    def _anonymous_status(self, name: str, snapshot: Snapshot) -> _HolderStatus:
        """Return the status of a lock whose value names no holder.

        If a living process names the lock in its record, or this process has acquired it, that is
        the holder. A process of version 0.1 names no locks, so while there is one, it is in doubt.
        """
        is_claimed = any(
            process.alive is not False and name in process.heartbeat.locks
            for process in snapshot.processes
        )
        key = Keys(self._huey).lock_prefix + name
        is_claimed = is_claimed or held_locks_of(self._huey).has_anonymous(key)
        doubt = older_text(snapshot.older[0]) if snapshot.older else ""
        return _HolderStatus(is_claimed or None, not is_claimed, not doubt, doubt=doubt)

    def _holder_status(
        self, name: str, raw: bytes, holder: Holder, snapshot: Snapshot
    ) -> _HolderStatus:
        """Return the status of the holder that a lock's value names."""
        if holder.process == this_process() and is_held_here(raw):
            return _HolderStatus(True)
        status = self._assess(name, raw, holder, snapshot)
        if snapshot.older:
            return status._replace(is_settled=False, doubt=older_text(snapshot.older[0]))
        return status

    def _assess(self, name: str, raw: bytes, holder: Holder, snapshot: Snapshot) -> _HolderStatus:
        process, state = holder.process, self._ledger.holder_state(holder, snapshot)
        if state.alive or (state.alive is False and state.silent is None):
            return _HolderStatus(state.alive, silent=state.silent)
        if process == this_process() and process.pid_namespace:
            # The response to the acquisition was lost, so this process does not know its lock.
            is_unheld = self._is_unheld(name, raw)
            doubt = "" if is_unheld else "this process does not know the lock, and checks again"
            return _HolderStatus(False if is_unheld else None, is_settled=is_unheld, doubt=doubt)
        if snapshot.unreadable:
            return _HolderStatus(None, is_settled=False, silent=state.silent, doubt=_UNREADABLE)
        if state.is_older:
            return _HolderStatus(None, is_settled=False, doubt=_OLDER)
        doubt = "" if state.is_silent else _silence_text(state.silent, state.limit)
        return _HolderStatus(state.alive, state.unclaimed, state.is_silent, state.silent, doubt)

    def _is_unheld(self, name: str, raw: bytes) -> bool:
        """Return whether this process has not held its lock for long enough to be certain."""
        now = self._clock()
        first, _ = self._unheld.get((name, raw), (now, now))
        self._unheld[name, raw] = first, now
        return now - first >= OVERDUE_SECONDS

    def _forget_unheld(self) -> None:
        now = self._clock()
        for key, (_, last) in list(self._unheld.items()):
            if now - last > _SERIES_SECONDS:
                self._unheld.pop(key, None)

    def _semaphores(self, store: Store, names: Collection[str] | None = None) -> Iterator[LockInfo]:
        find = getattr(store, "semaphores", None)
        if find is not None and (names is None or names):
            for name, ages in find(Keys(self._huey).lock_prefix, names):
                yield LockInfo(name, "semaphore", slots=ages)


_UNREADABLE = (
    "the ledger has records that this version cannot read, perhaps the holder's: run one version "
    "in all consumers"
)

_OLDER = (
    "it ran version 0.1 of the kit, and this version finds no record of it: make sure that the "
    "process has ended, then clear the lock"
)


def _silence_text(silent: float | None, limit: float) -> str:
    if silent is None:
        return (
            "no process watches it. A consumer with the kit would watch it, or locks release with "
            f"--apply, which takes {limit:g} seconds"
        )
    return (
        f"it has been silent for {silent:.0f} seconds, and counts as dead after {limit:g}: try "
        "again while the storage works and can be written to"
    )


def _parse(reader: Reader, raw: bytes) -> Holder | None:
    try:
        return parse_holder(reader.value(raw))
    except Unreadable:
        return None
