"""Release locks: only the acquisition that was inspected, and none that a living process holds.

Every release is a compare-and-delete of the stored value, which is different for each acquisition.
So if a lock was released and acquired again since it was inspected, it stays.

Some locks name no holder, such as locks that were acquired without the kit. If no living process
claims such a lock, it may be left from a dead one, or its holder may not write records. So it is
released only if two calls, a certain time apart, have found it unchanged; the first call leaves a
mark in the kit's own data.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from ..._checks import check_huey, short, validate_flag
from ...runtime.process_id import this_process
from ...store import UPKEEP, Keys, KitStore, open_kit_store, open_store
from .._limits import UNCLAIMED_SECONDS
from ..tokens.sweeper import validate_min_age
from .info import LockHeld, LockInfo
from .inspection import LockInspector

_KEY = "huey-signals:locks"
_MAX_LOCKS = 10_000
_MAX_HOSTS = 20

Mark = tuple[str, float]
"""A digest of a lock's value, and the time when it was first seen."""


def _seconds_since_boot() -> float:
    """Return the time of a clock that cannot be set, if the operating system has one."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.time() if boot is None else time.clock_gettime(boot)


@dataclass(frozen=True)
class Release:
    """The result of `release_stale`."""

    released: list[LockInfo]
    """Locks that were released; in a dry run, locks that would be."""
    waiting: list[LockInfo]
    """Locks that no process claims, and that have not been unchanged for long enough."""
    kept: list[LockInfo] = field(default_factory=list)
    """Locks whose holder may be alive; their `doubt` says why, and what would settle it."""


def release_lock(huey: Any, name: str, inspector: LockInspector | None = None) -> LockInfo | None:
    """Release one lock, and return it; None if it did not exist, or was acquired again.

    To learn whether a holder on another host is alive may take ``stale_after`` plus up to 15
    seconds (135 by default).

    Args:
        huey: The Huey, with a kit or without.
        name: The name of the lock.
        inspector: The inspector of the Huey's locks; created if missing.

    Raises:
        LockHeld: The holder is alive or in doubt, or it is a semaphore.
    """
    huey = check_huey(huey, "release_lock()")
    if not isinstance(name, str):
        raise TypeError(f"release_lock() takes the name of a lock, got {short(name)}")
    inspector = inspector or LockInspector(huey)
    for lock in inspector.wait_until_known([name], should_observe=True):
        validate_not_held(huey, lock)
        if release_unchanged(huey, lock):
            return lock
    return None


def validate_not_held(huey: Any, lock: LockInfo) -> None:
    """Check that a lock may be released.

    Args:
        huey: The Huey.
        lock: The lock, as an inspector described it.

    Raises:
        LockHeld: The holder is alive or in doubt, or it is a semaphore.
    """
    if lock.alive or not lock.is_settled or lock.kind == "semaphore":
        raise LockHeld(str(huey.name), lock)


def release_stale(
    huey: Any,
    min_age: float = UNCLAIMED_SECONDS,
    dry_run: bool = False,
    *,
    inspector: LockInspector | None = None,
    clock: Callable[[], float] = _seconds_since_boot,
    on_wait: Callable[[], object] = lambda: None,
    on_release: Callable[[LockInfo], object] = lambda lock: None,
    names: Collection[str] | None = None,
) -> Release:
    """Release locks whose holder is dead, and locks that no process claims.

    A lock is unclaimed if it names no holder and no living process names it in its record, or if it
    names a process on another host that has never written a record. If a holder on another host is
    silent, this may take ``stale_after`` plus up to 15 seconds (135 by default); locks whose holder
    is known to be dead are released first.

    Args:
        huey: The Huey, with a kit or without.
        min_age: Seconds between two calls that find an unclaimed lock unchanged.
        dry_run: Release nothing and mark nothing.
        inspector: The inspector of the Huey's locks; created if missing.
        clock: Returns seconds of a clock of this host.
        on_wait: Called repeatedly while this waits.
        on_release: Called with each lock after it was released.
        names: For a consumer that releases by itself: only these locks, without waiting, and only
            those that name a holder. A living process without the kit may hold one that names none.
    """
    huey = check_huey(huey, "release_stale_locks()")
    validate_min_age(min_age, "min_age= of release_stale_locks()")
    validate_flag(dry_run, "dry_run= of release_stale_locks()")
    inspector = inspector or LockInspector(huey)
    released: list[LockInfo] = []
    if names is None:
        if not dry_run:
            released += _release_all(huey, filter(_is_stale, inspector.all()), on_release)
        inspected = inspector.wait_until_known(on_wait=on_wait, should_observe=not dry_run)
    else:
        inspected = inspector.named(sorted(names))
    locks = [lock for lock in inspected if lock.kind == "lock"]
    kept = [lock for lock in locks if not lock.is_settled and not lock.is_unclaimed]
    unclaimed = [lock for lock in locks if lock.is_unclaimed]
    key = f"{_KEY} {huey.name}"
    if names is not None:
        key = f"{_KEY} of consumers {huey.name}"  # a person's marks stay as they are
        unclaimed = [lock for lock in unclaimed if lock.holder is not None]
    marks = _Marks(open_kit_store(huey, UPKEEP), key)
    unchanged, waiting = marks.classify(unclaimed, clock(), min_age)
    due = [*filter(_is_stale, locks), *unchanged]
    if dry_run:
        return Release(due, waiting, kept)
    marks.save()
    released += _release_all(huey, due, on_release)
    return Release(released, waiting, kept)


def _is_stale(lock: LockInfo) -> bool:
    return lock.kind == "lock" and lock.alive is False and lock.is_settled


def _release_all(
    huey: Any, locks: Iterable[LockInfo], on_release: Callable[[LockInfo], object]
) -> list[LockInfo]:
    """Release each lock that is unchanged, and return these."""
    released = []
    for lock in locks:
        if release_unchanged(huey, lock):
            released.append(lock)
            on_release(lock)
    return released


def release_unchanged(huey: Any, lock: LockInfo) -> bool:
    """Delete a lock if its value is still the one that was inspected; return whether it was."""
    return open_store(huey).compare_and_delete(Keys(huey).lock_prefix + lock.name, lock.raw)


class _Marks:
    """The times when unclaimed locks were first seen with their current value.

    Each host has marks of its own, because the clocks of two hosts cannot be compared. A lost mark
    delays a release.

    Args:
        store: The store of the kit's own data.
        key: The key of the marks.
    """

    def __init__(self, store: KitStore, key: str) -> None:
        self._store = store
        self._key = key
        (self._raw,) = store.get([self._key])
        self._stored = _read(self._raw)
        self._new: dict[str, dict[str, Mark]] = {}
        process = this_process()
        self._host = _digest(f"{process.host} {process.pid_namespace}".encode())

    def classify(
        self, locks: list[LockInfo], now: float, min_age: float
    ) -> tuple[list[LockInfo], list[LockInfo]]:
        """Return the locks that were unchanged for `min_age` seconds, and the others."""
        unchanged, waiting = [], []
        for lock in locks:
            digest, stored = _digest(lock.raw), self._stored.get(lock.name, {})
            marks = {host: mark for host, mark in stored.items() if mark[0] == digest}
            _, first = marks.get(self._host, (digest, now))
            first = min(first, now)  # the clock starts again after a reboot
            if now - first >= min_age and lock.is_settled:
                unchanged.append(lock)
                continue
            waiting.append(lock)
            others = [item for item in marks.items() if item[0] != self._host][-_MAX_HOSTS:]
            self._new[lock.name] = {**dict(others), self._host: (digest, first)}
        return unchanged, waiting

    def save(self) -> None:
        """Write the marks, unless another process has written them meanwhile."""
        new = json.dumps(dict(list(self._new.items())[:_MAX_LOCKS])).encode("ascii")
        if not self._new and self._raw is not None:
            self._store.compare_and_delete(self._key, self._raw)
        elif self._new and self._raw is None:
            self._store.put_if_absent(self._key, new)
        elif self._raw is not None and new != self._raw:
            self._store.compare_and_set(self._key, self._raw, new)


def _digest(raw: bytes) -> str:
    return blake2b(raw, digest_size=12).hexdigest()


def _read(raw: bytes | None) -> dict[str, dict[str, Mark]]:
    """Return the stored marks, by lock and host; none if the value is not in this form."""
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
