"""Who lives: judged by change, never by comparing the clocks of two hosts."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from ._place import Place, here
from ._record import Heartbeat

BEAT_SECONDS = 5.0
"""How often a process writes its record."""

OVERDUE_SECONDS = 3 * BEAT_SECONDS
"""A process that has not written for so long counts as dead."""

FORGOTTEN_SECONDS = 600.0
"""After so long without a change a record is folded, and its running tasks count no more.

Longer than overdue: a process that is merely held up for a while still has its tasks.
"""


@dataclass(frozen=True)
class Judgement:
    """What a reader knows of a process."""

    alive: bool | None
    """None when it cannot be told yet."""
    gone: bool
    """Whether nothing of it counts any more but its counters."""


@dataclass
class _Seen:
    sequence: int
    at: float
    changed: bool = False


class Watch:
    """One reader's memory of the records that it has read; *clock* is its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def keep(self, ids: Collection[str]) -> None:
        """Forget all others."""
        self._seen = {each: seen for each, seen in self._seen.items() if each in ids}

    def judge(self, record: Heartbeat, fresh: bool | None, known_here: bool) -> Judgement:
        """*fresh* is what a server knows, *known_here* whether this process has written it."""
        now = self._clock()
        seen = self._seen.get(record.id)
        if seen is None:
            seen = self._seen[record.id] = _Seen(record.sequence, now)
        elif seen.sequence != record.sequence:
            seen.sequence, seen.at, seen.changed = record.sequence, now, True
        silent = now - seen.at
        there = _is_there(record.place, known_here)
        if record.sealed or there is False:
            return Judgement(False, True)
        if there:
            return Judgement(True, False)
        return Judgement(_guess(record, fresh, seen, silent), silent >= FORGOTTEN_SECONDS)


def _is_there(place: Place, known_here: bool) -> bool | None:
    if place != here():
        return place.is_there()
    if known_here:
        return True
    # This process, before it became another program by exec.
    return False if place.space else None


def _guess(record: Heartbeat, fresh: bool | None, seen: _Seen, silent: float) -> bool | None:
    if fresh or (fresh is None and seen.changed and silent < OVERDUE_SECONDS):
        return True
    # Without a worker or a lock a process writes only what is new: its silence tells nothing.
    overdue = fresh is False or silent >= OVERDUE_SECONDS
    return False if overdue and (record.worker or record.locks) else None
