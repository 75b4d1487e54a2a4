"""Every lock of a queue, whoever made it, with who holds it and whether that process lives.

A lock that was taken under a kit names its holder in its value. Whether that process lives is
known at once on the host it runs on; of another host by its heartbeat, which every process
writes that holds a lock. Two hosts' clocks are never compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from ..ledger import (
    BEAT_SECONDS,
    OVERDUE_SECONDS,
    Holder,
    Ledger,
    Look,
    here,
    is_held_here,
    open_ledger,
    takings_of,
    try_holder,
)
from ..sinks.labels import fold, valid
from ..store import UPKEEP, Keys, Reader, Store, Unreadable, open_kit_store, open_store
from ._lock_form import LockInfo
from ._moments import moment
from ._skip_history import note_skips, recent_skips

_LOOKED_SECONDS = 2 * BEAT_SECONDS
"""Between two looks that are further apart, whoever is silent may have written a heartbeat."""
_PATIENCE_SECONDS = OVERDUE_SECONDS + 3.0
_POLL_SECONDS = 0.5


class _Verdict(NamedTuple):
    alive: bool | None
    unclaimed: bool
    settled: bool


class LockWatch:
    """Looks at the locks of one Huey; keep it.

    Of a process on another host it is judged by looking, again and again, for 15 seconds: so its
    lock is not freed because the storage was away for a while, or because its record was lost.
    If it lives it writes one within seconds. *clock* and *sleep* are this watch's own.
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
        self._silent: dict[tuple[str, bytes], tuple[float, float]] = {}

    def all(self) -> list[LockInfo]:
        """Every lock and semaphore in the store, by name."""
        store, keys = open_store(self._huey), Keys(self._huey)
        entries = (entry for batch in store.entries(keys.lock_prefix) for entry in batch)
        found = list(self.judged({keys.lock_name(e.key): e.value for e in entries}))
        return sorted([*found, *self._semaphores(store)], key=lambda lock: lock.name)

    def named(self, names: list[str]) -> list[LockInfo]:
        """Those of *names* that are held, without looking through the store."""
        prefix = Keys(self._huey).lock_prefix
        values = open_store(self._huey).get([prefix + name for name in names])
        held = zip(names, values, strict=True)
        return list(self.judged({name: raw for name, raw in held if raw is not None}))

    def note_skips(self) -> None:
        """Note what has been counted, so that it is known later what came since."""
        note_skips(open_kit_store(self._huey, UPKEEP), self._ledger.look(), time.time())

    def claimed(self) -> set[str]:
        """The names of the locks that any process has said to hold."""
        return {name for each in self._ledger.processes() for name in each.heartbeat.locks}

    def judged(self, values: Mapping[str, bytes | None]) -> Iterator[LockInfo]:
        """Those that have these *values* by name; of None it is not known what stands there."""
        if not values:
            return
        look, reader = self._ledger.look(), Reader(self._huey)
        prefix = Keys(self._huey).lock_prefix
        self._forget()
        skips = recent_skips(open_kit_store(self._huey, UPKEEP), look, time.time())
        for name, raw in values.items():
            holder = None if raw is None else _holder(reader, raw)
            common: dict[str, Any] = {
                "skips": skips[valid(fold(name))],
                "raw": raw or b"",
                "holder": holder,
            }
            if holder is None:
                claimed = _is_claimed(look, name) or takings_of(self._huey).has_bare(prefix + name)
                yield LockInfo(name, alive=claimed or None, unclaimed=not claimed, **common)
                continue
            verdict = self._lives(name, raw or b"", holder, look)
            yield LockInfo(
                name,
                since=moment(holder.since),
                task_id=holder.task_id,
                task_name=holder.task_name,
                host=holder.place.host,
                pid=holder.place.pid,
                alive=verdict.alive,
                unclaimed=verdict.unclaimed,
                settled=verdict.settled,
                **common,
            )

    def settled(
        self, names: list[str] | None = None, tell: Callable[[], object] = lambda: None
    ) -> list[LockInfo]:
        """The locks, or those of *names*, once it is known of each holder whether it lives.

        A name that is no lock's but a semaphore's gives that one.

        That takes up to 18 seconds where a holder on another host is silent. *tell* is called
        while it does.
        """
        found = self.all() if names is None else self.named(names)
        deadline = self._clock() + _PATIENCE_SECONDS
        while open_ones := {each.name for each in found if not each.settled}:
            if self._clock() > deadline:
                break
            tell()
            self._sleep(_POLL_SECONDS)
            known = [each for each in found if each.settled]
            found = [*known, *self.named(sorted(open_ones))]
        if names is not None:
            others = set(names).difference(each.name for each in found)
            found += self._semaphores(open_store(self._huey), others)
        return sorted(found, key=lambda lock: lock.name)

    def _lives(self, name: str, raw: bytes, holder: Holder, look: Look) -> _Verdict:
        place = holder.place
        own = place == here()
        there = is_held_here(raw) or None if own else place.is_there()
        own = own and bool(place.space)  # else it may be another container's
        if there is not None:
            return _Verdict(there, False, True)
        records = [each.alive for each in look.processes if each.heartbeat.place == place]
        if not own and True in records:
            self._silent.pop((name, raw), None)
            return _Verdict(True, False, True)
        long = self._silence(name, raw) >= OVERDUE_SECONDS
        if own:  # from before it became another program, or the answer was lost
            return _Verdict(False if long else None, False, long)
        if look.unreadable:  # which may have its record
            return _Verdict(None, False, long)
        overdue = bool(records) and None not in records
        dead = overdue or (long and (bool(records) or holder.beats))
        # Without a record it may have been killed before its first, or be about to write it.
        return _Verdict(False if dead else None, not dead and not records, long)

    def _silence(self, name: str, raw: bytes) -> float:
        """For how many seconds its holder has not been seen to live, while this has looked."""
        now = self._clock()
        first, _ = self._silent.get((name, raw), (now, now))
        self._silent[name, raw] = first, now
        return now - first

    def _forget(self) -> None:
        now = self._clock()
        for key, (_, last) in list(self._silent.items()):
            if now - last > _LOOKED_SECONDS:
                self._silent.pop(key, None)

    def _semaphores(self, store: Store, names: Collection[str] | None = None) -> Iterator[LockInfo]:
        find = getattr(store, "semaphores", None)
        if find is not None and (names is None or names):
            for name, ages in find(Keys(self._huey).lock_prefix, names):
                yield LockInfo(name, "semaphore", slots=ages)


def _holder(reader: Reader, raw: bytes) -> Holder | None:
    try:
        return try_holder(reader.value(raw))
    except Unreadable:
        return None


def _is_claimed(look: Look, name: str) -> bool:
    """Whether a living process says that it holds a lock that names nobody."""
    return any(each.alive is not False and name in each.heartbeat.locks for each in look.processes)
