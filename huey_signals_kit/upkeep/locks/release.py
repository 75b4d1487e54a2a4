"""Frees locks: only the very taking that was judged, and none that a living process holds."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from ..._checks import check_huey, short, validate_flag
from ...runtime.process_id import this_process
from ...store import UPKEEP, Keys, KitStore, open_kit_store, open_store
from ..tokens.sweeper import check_age
from .info import LockHeld, LockInfo
from .inspection import LockInspector

UNCLAIMED_SECONDS = 900.0
"""How far apart two looks at a lock are that nobody claims, before it is freed."""

_MARKS = "huey-signals:locks"
_MOST_MARKS = 10_000
_MOST_HOSTS = 20

Mark = tuple[str, float]
"""What the lock was, by its digest, and when that was first seen."""


def _since_boot() -> float:
    """A clock that nobody sets, where there is one."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.time() if boot is None else time.clock_gettime(boot)


@dataclass(frozen=True)
class Release:
    """What `release_stale` has done, or would do."""

    released: list[LockInfo]
    waiting: list[LockInfo]
    """Those that nobody claims, and that have not been seen twice, so far apart."""
    kept: list[LockInfo] = field(default_factory=list)
    """Locks whose holder may be alive; their `doubt` says why, and what would settle it."""


def release_lock(huey: Any, name: str, watch: LockInspector | None = None) -> bool:
    """Free the lock *name*; whether it was there, and still the same when it was freed.

    Raises `LockHeld` if the holder is alive or in doubt. For a holder on another host this may take
    ``stale_after`` and 15 seconds.
    """
    return bool(release_named(huey, name, watch))


def release_named(huey: Any, name: str, watch: LockInspector | None = None) -> list[LockInfo]:
    """Release a lock as `release_lock` does; return the locks that were freed."""
    huey = check_huey(huey, "release_lock()")
    if not isinstance(name, str):
        raise TypeError(f"release_lock() takes the name of a lock, got {short(name)}")
    found = (watch or LockInspector(huey)).wait_until_known([name], write=True)
    for lock in found:
        check_not_held(huey, lock)
    return [lock for lock in found if release_seen(huey, lock)]


def check_not_held(huey: Any, lock: LockInfo) -> None:
    """Raise `LockHeld` if the holder of *lock* is alive or in doubt, or for a semaphore."""
    if lock.alive or not lock.settled or lock.kind == "semaphore":
        raise LockHeld(str(huey.name), lock)


def release_stale(
    huey: Any,
    min_age: float = UNCLAIMED_SECONDS,
    dry_run: bool = False,
    *,
    watch: LockInspector | None = None,
    clock: Callable[[], float] = _since_boot,
    tell: Callable[[], object] = lambda: None,
    names: Collection[str] | None = None,
) -> Release:
    """Free the locks whose holder's process is known to be dead, and those that nobody claims.

    Those that name nobody, or a process on another host that has never written a heartbeat; and
    only when two calls, at least *min_age* seconds apart, have found them unchanged. With
    *dry_run* nothing is freed or written. If a holder on another host is silent, this may take
    ``stale_after`` and 15 seconds; *tell* is called meanwhile. With *names* only these locks are
    freed, without waiting, by what *watch* knows now.
    """
    huey = check_huey(huey, "release_stale_locks()")
    check_age(min_age, "min_age= of release_stale_locks()")
    validate_flag(dry_run, "dry_run= of release_stale_locks()")
    watch = watch or LockInspector(huey)
    if names is None:
        found = watch.wait_until_known(tell=tell, write=not dry_run)
    else:
        found = watch.named(sorted(names))
    locks = [each for each in found if each.kind == "lock"]
    kept = [each for each in locks if not each.settled and not each.unclaimed]
    marks = _Marks(open_kit_store(huey, UPKEEP), str(huey.name))
    unclaimed = [each for each in locks if each.unclaimed]
    ripe, waiting = marks.sort(unclaimed, clock(), min_age)
    due = [each for each in locks if each.alive is False and each.settled] + ripe
    if dry_run:
        return Release(due, waiting, kept)
    marks.save()
    return Release([each for each in due if release_seen(huey, each)], waiting, kept)


def release_seen(huey: Any, lock: LockInfo) -> bool:
    """Free *lock* if it is still the taking that was seen; whether it was."""
    return open_store(huey).compare_and_delete(Keys(huey).lock_prefix + lock.name, lock.raw)


class _Marks:
    """When locks that nobody claims were first seen as they are; a lost mark delays a release.

    By each host for itself, as no two have the same clock.
    """

    def __init__(self, store: KitStore, name: str) -> None:
        self._store = store
        self._key = f"{_MARKS} {name}"
        (self._raw,) = store.get([self._key])
        self._seen = _read(self._raw)
        self._new: dict[str, dict[str, Mark]] = {}
        place = this_process()
        self._host = _digest(f"{place.host} {place.pid_namespace}".encode())

    def sort(
        self, locks: list[LockInfo], now: float, min_age: float
    ) -> tuple[list[LockInfo], list[LockInfo]]:
        """Those that were seen long enough ago, and the others."""
        ripe, waiting = [], []
        for lock in locks:
            digest, before = _digest(lock.raw), self._seen.get(lock.name, {})
            same = {host: mark for host, mark in before.items() if mark[0] == digest}
            _, first = same.get(self._host, (digest, now))
            first = min(first, now)  # by a clock that has begun anew
            if now - first >= min_age and lock.settled:
                ripe.append(lock)
                continue
            waiting.append(lock)
            others = [item for item in same.items() if item[0] != self._host][-_MOST_HOSTS:]
            self._new[lock.name] = {**dict(others), self._host: (digest, first)}
        return ripe, waiting

    def save(self) -> None:
        """Write what was seen, unless somebody else has done so meanwhile."""
        new = json.dumps(dict(list(self._new.items())[:_MOST_MARKS])).encode("ascii")
        if not self._new and self._raw is not None:
            self._store.compare_and_delete(self._key, self._raw)
        elif self._new and self._raw is None:
            self._store.put_if_absent(self._key, new)
        elif self._raw is not None and new != self._raw:
            self._store.compare_and_set(self._key, self._raw, new)


def _digest(raw: bytes) -> str:
    return blake2b(raw, digest_size=12).hexdigest()


def _read(raw: bytes | None) -> dict[str, dict[str, Mark]]:
    try:
        return {
            str(name): {
                str(host): (str(digest), float(first))
                for host, (digest, first) in marks.items()
                if math.isfinite(first)
            }
            for name, marks in json.loads(raw or b"{}").items()
        }
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        return {}
