"""Every lock of a queue, whoever made it, with who holds it and whether that process lives.

A lock that was taken under a kit names its holder in its value. Whether that process lives is
known immediately on its own host. From another host it is known by heartbeats, which every process
with a lock writes, and by the processes that watch each other.
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
from ...store import UPKEEP, Keys, Reader, Store, Unreadable, open_kit_store, open_store
from .._moments import to_datetime
from .info import LockInfo
from .skip_history import note_skips, recent_skips

_LOOKED_SECONDS = 2 * HEARTBEAT_SECONDS
"""The most seconds between two looks of one series."""

_NOTED_SECONDS = 2 * HEARTBEAT_SECONDS + 3.0
"""Seconds within which every living watcher has written its notes."""

_PATIENCE_SECONDS = OVERDUE_SECONDS
"""Seconds that a command waits for a verdict, beyond ``stale_after``."""

_MOST_FAILURES = 3
"""A command gives up after so many failed writes of its own record in a row."""

_POLL_SECONDS = 0.5


class _HolderStatus(NamedTuple):
    alive: bool | None
    unclaimed: bool = False
    settled: bool = True
    silent: float | None = None
    doubt: str = ""


class LockInspector:
    """Looks at the locks of one Huey; keep it.

    Args:
        huey: The Huey.
        ledger: The ledger of its queue; opened if missing.
        clock: A monotonic clock, in seconds.
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

    def all(self) -> list[LockInfo]:
        """Every lock and semaphore in the store, by name."""
        store, keys = open_store(self._huey), Keys(self._huey)
        entries = (entry for batch in store.entries(keys.lock_prefix) for entry in batch)
        found = list(self.inspect({keys.lock_name(e.key): e.value for e in entries}))
        return sorted([*found, *self._semaphores(store)], key=lambda lock: lock.name)

    def named(self, names: list[str]) -> list[LockInfo]:
        """Those of *names* that are held, without looking through the store."""
        prefix = Keys(self._huey).lock_prefix
        values = open_store(self._huey).get([prefix + name for name in names])
        held = zip(names, values, strict=True)
        return list(self.inspect({name: raw for name, raw in held if raw is not None}))

    def note_skips(self) -> None:
        """Note what has been counted, so that it is known later what came since."""
        note_skips(open_kit_store(self._huey, UPKEEP), self._ledger.snapshot(), time.time())

    def older(self) -> list[str]:
        """Return a message for each process of version 0.1 that may be alive; see `older_text`."""
        return [older_text(each) for each in self._ledger.snapshot().older]

    def claimed(self) -> set[str]:
        """The names of the locks that any process has said to hold."""
        return {name for each in self._ledger.processes() for name in each.heartbeat.locks}

    def inspect(self, values: Mapping[str, bytes | None]) -> Iterator[LockInfo]:
        """Those that have these *values* by name; of None it is not known what stands there."""
        if not values:
            return
        snapshot, reader = self._ledger.snapshot(), Reader(self._huey)
        prefix = Keys(self._huey).lock_prefix
        self._forget()
        skips = recent_skips(open_kit_store(self._huey, UPKEEP), snapshot, time.time())
        for name, raw in values.items():
            holder = None if raw is None else _holder(reader, raw)
            common: dict[str, Any] = {
                "skips": skips[sanitize_label(fold(name))],
                "raw": raw or b"",
                "holder": holder,
            }
            if holder is None:
                claimed = _is_claimed(snapshot, name) or held_locks_of(self._huey).has_anonymous(
                    prefix + name
                )
                older = [older_text(each) for each in snapshot.older[:1]]
                yield LockInfo(
                    name,
                    alive=claimed or None,
                    unclaimed=not claimed,
                    settled=not older,
                    doubt="".join(older),
                    **common,
                )
                continue
            verdict = self._lives(name, raw or b"", holder, snapshot)
            yield LockInfo(
                name,
                since=to_datetime(holder.since),
                task_id=holder.task_id,
                task_name=holder.task_name,
                host=holder.place.host,
                pid=holder.place.pid,
                alive=verdict.alive,
                unclaimed=verdict.unclaimed,
                settled=verdict.settled,
                silent=verdict.silent,
                doubt=verdict.doubt,
                **common,
            )

    def wait_until_known(
        self,
        names: list[str] | None = None,
        tell: Callable[[], object] = lambda: None,
        write: bool = False,
    ) -> list[LockInfo]:
        """Wait for verdicts on all holders, as far as possible; return the locks.

        A name of a semaphore instead of a lock returns the semaphore.

        Args:
            names: Only these locks.
            tell: Called while this waits.
            write: Whether to write a record of its own to watch the silent holders. Then this waits
                for up to ``stale_after`` and 15 seconds. Otherwise it waits only until every
                watcher has written its notes.
        """
        found = self.all() if names is None else self.named(names)
        if names is not None:
            others = set(names).difference(each.name for each in found)
            found += self._semaphores(open_store(self._huey), others)
        if all(each.settled for each in found):
            return found
        if not write:
            return self._wait(found, tell, None, _NOTED_SECONDS)
        with observing(self._ledger, self._clock) as watcher:
            patience = self._ledger.stale_after() + _PATIENCE_SECONDS
            found = self._wait(found, tell, watcher, patience)
        if watcher.failures:
            doubt = f"this command cannot write to the storage to watch: {watcher.error!r}"
            found = [each if each.settled else replace(each, doubt=doubt) for each in found]
        return found

    def _wait(
        self,
        found: list[LockInfo],
        tell: Callable[[], object],
        watcher: Observer | None,
        seconds: float,
    ) -> list[LockInfo]:
        deadline = self._clock() + seconds
        while open_ones := sorted(each.name for each in found if not each.settled):
            if self._clock() > deadline or (watcher and watcher.failures >= _MOST_FAILURES):
                break
            tell()
            if watcher is not None:
                watcher.step()
            self._sleep(_POLL_SECONDS)
            known = [each for each in found if each.settled]
            found = [*known, *self.named(open_ones)]
        # A process that counted as dead may have been cut off, and be back.
        dead = [each.name for each in found if each.alive is False]
        found = [*(each for each in found if each.alive is not False), *self.named(dead)]
        return sorted(found, key=lambda lock: lock.name)

    def _lives(self, name: str, raw: bytes, holder: Holder, snapshot: Snapshot) -> _HolderStatus:
        if holder.place == this_process() and is_held_here(raw):
            return _HolderStatus(True)
        verdict = self._judge(name, raw, holder, snapshot)
        if snapshot.older:
            return verdict._replace(settled=False, doubt=older_text(snapshot.older[0]))
        return verdict

    def _judge(self, name: str, raw: bytes, holder: Holder, snapshot: Snapshot) -> _HolderStatus:
        place, state = holder.place, self._ledger.holder_state(holder, snapshot)
        if state.alive or (state.alive is False and state.silent is None):
            return _HolderStatus(state.alive, silent=state.silent)
        if (
            place == this_process() and place.pid_namespace
        ):  # the response to its acquisition was lost
            long = self._is_unheld(name, raw)
            doubt = "" if long else "this process does not know the lock, and looks again"
            return _HolderStatus(False if long else None, settled=long, doubt=doubt)
        if snapshot.unreadable:
            return _HolderStatus(None, settled=False, silent=state.silent, doubt=_UNREADABLE)
        if state.is_older:
            return _HolderStatus(None, settled=False, doubt=_OLDER)
        doubt = "" if state.is_silent else _silence_text(state.silent, state.limit)
        return _HolderStatus(state.alive, state.unclaimed, state.is_silent, state.silent, doubt)

    def _is_unheld(self, name: str, raw: bytes) -> bool:
        """Return whether this process has not held the lock for long enough."""
        now = self._clock()
        first, _ = self._unheld.get((name, raw), (now, now))
        self._unheld[name, raw] = first, now
        return now - first >= OVERDUE_SECONDS

    def _forget(self) -> None:
        now = self._clock()
        for key, (_, last) in list(self._unheld.items()):
            if now - last > _LOOKED_SECONDS:
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
            "no process watches it. A consumer with the kit would watch it, or this command with "
            f"--apply, which takes {limit:g} seconds"
        )
    return (
        f"it has been silent for {silent:.0f} seconds, and counts as dead after {limit:g}: try "
        "again while the storage works and can be written to"
    )


def _holder(reader: Reader, raw: bytes) -> Holder | None:
    try:
        return parse_holder(reader.value(raw))
    except Unreadable:
        return None


def _is_claimed(snapshot: Snapshot, name: str) -> bool:
    """Whether a living process says that it holds a lock that names nobody."""
    return any(
        each.alive is not False and name in each.heartbeat.locks for each in snapshot.processes
    )
