"""Properties of locks as several commands show them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from shlex import quote
from socket import gethostname

from ...upkeep import LockInfo
from .durations import format_duration


def format_held_for(lock: LockInfo) -> str:
    """Return how long `lock` has been held; with ``~`` if by the clock of another host."""
    seconds = held_seconds(lock)
    if seconds is None:
        return "?"
    is_remote = not lock.slots and lock.host != gethostname()
    return f"{'~' if is_remote else ''}{format_duration(seconds)}"


def held_seconds(lock: LockInfo) -> float | None:
    """Return how long `lock`, or the oldest slot of a semaphore, has been held; None if unknown."""
    if lock.slots:
        return max(lock.slots)
    if lock.since is None:
        return None
    return (datetime.now(timezone.utc) - lock.since).total_seconds()


def state_of(lock: LockInfo) -> str:
    """Return the state of the holder of `lock` in a word."""
    if lock.alive is not None:
        return "alive" if lock.alive else "dead"
    return "unclaimed" if lock.is_unclaimed and lock.kind == "lock" else "unknown"


def words_to_release(names: Iterable[str], huey_name: str) -> list[str]:
    """Return the words after ``locks release`` that release the locks with these names."""
    quoted = [quote(name) for name in names]
    if any(name.startswith("-") for name in quoted):
        return ["--apply", huey_name, "--", *quoted]
    return [huey_name, *quoted, "--apply"]
