"""Judge which processes are alive, from the records that one reader has seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ..runtime.process_id import ProcessId, this_process
from ._failure_detector import (
    FORGOTTEN_SECONDS,
    MISSING,
    OVERDUE_SECONDS,
    STALE_AFTER,
    FailureDetector,
    digest,
)
from ._record import Heartbeat

_ASKED_SECONDS = 60.0


@dataclass(frozen=True)
class Liveness:
    """What a reader knows of a process."""

    alive: bool | None
    """None if unknown."""
    gone: bool
    """Whether only the counters of its record still count."""
    silent: float | None = None
    """Seconds of silence that a watcher has seen; None if no watcher has."""


@dataclass(frozen=True)
class Process:
    """A process that has a record, and whether it is alive."""

    heartbeat: Heartbeat
    alive: bool | None
    gone: bool
    """Whether only the counters of its record still count.

    The process ended, or was silent for ten minutes, so its tasks count as not running.
    """
    silent: float | None = None
    """Seconds of silence that a watcher has seen; None if no watcher has."""


@dataclass
class _Seen:
    value: bytes
    at: float
    look: int
    """The number of the look in which this value was seen first."""
    changed: bool = False


def peer_of(place: ProcessId) -> str:
    """Return the name under which the process at *place* is watched.

    A process may have several records: the current one, and others that it has left. If one of them
    changes, the process is alive.
    """
    where = place.host, place.pid_namespace, place.pid, place.start_time
    return digest("\n".join(map(str, where)).encode("utf-8", "surrogatepass"))


class LivenessDetector:
    """One reader's memory of the ledger.

    A judge trusts the detectors of its own process. It trusts the note of another watcher only if
    that watcher has written its record after this reader first saw the peer's current value. Then
    the watcher was alive, and its own record intact, during the silence that the note reports.

    Args:
        clock: The reader's own monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looks = 0
        self._seen: dict[str, _Seen] = {}
        self._notes: dict[str, list[tuple[_Seen, str, int]]] = {}
        self._records: list[Heartbeat] = []
        self._newest: dict[ProcessId, int] = {}
        self._missing: dict[str, float] = {}
        """When this reader was asked about a holder without a record, by peer."""
        self.detectors: tuple[FailureDetector, ...] = ()
        """The detectors of this process."""
        self.stale_after = 0.0
        """The reader's own setting, if it has one."""

    def observe(self, records: list[Heartbeat], values: Mapping[str, bytes]) -> None:
        """Remember all *records* of the ledger, and their *values* by id."""
        self._looks += 1
        self._records = records
        present = self.peers(records, values)
        for peer, value in present.items():
            self._see(peer, value)
        self._seen = {peer: self._seen[peer] for peer in present}
        self._notes, self._newest = {}, {}
        for record in records:
            watcher = self._seen[peer_of(record.place)]
            for peer, value_digest, seconds in record.notes:
                self._notes.setdefault(peer, []).append((watcher, value_digest, seconds))
            newest = self._newest.get(record.place, 0)
            self._newest[record.place] = max(newest, record.incarnation)

    def peers(self, records: list[Heartbeat], values: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return the value of each peer, including holders without a record."""
        now, asked = self._clock(), self._missing.items()
        self._missing = {peer: at for peer, at in asked if now - at < _ASKED_SECONDS}
        found = dict.fromkeys(self._missing, MISSING)
        for record in sorted(records, key=lambda each: each.id):
            peer = peer_of(record.place)
            found[peer] = found.get(peer, MISSING) + values[record.id]
        return found

    def _see(self, peer: str, value: bytes) -> _Seen:
        seen = self._seen.get(peer)
        if seen is None:
            seen = self._seen[peer] = _Seen(value, self._clock(), self._looks)
        elif seen.value != value:
            seen = self._seen[peer] = _Seen(value, self._clock(), self._looks, True)
        return seen

    def assess(
        self, record: Heartbeat, recently_written: bool | None, known_here: bool
    ) -> Liveness:
        """Judge the process of *record*, one of those of the last look.

        Args:
            record: The record of the process.
            fresh: Whether the server has a fresh key of the process. A missing key proves nothing:
                it can be evicted.
            known_here: Whether this process itself wrote the record.
        """
        replaced = self.is_replaced(record.place, record.incarnation)
        there = False if replaced else _is_there(record.place, known_here)
        if record.sealed or there is False:
            return Liveness(False, True)
        if there:
            return Liveness(True, False)
        peer = peer_of(record.place)
        silent = self._silence(peer)
        limit = self.limit(record)
        gone = silent is not None and silent >= max(FORGOTTEN_SECONDS, limit)
        seen = self._seen[peer]
        if recently_written or (seen.changed and self._clock() - seen.at < OVERDUE_SECONDS):
            return Liveness(True, False, silent)
        # A process without workers and locks writes only changes: its silence proves nothing.
        dead = silent is not None and silent >= limit and bool(record.worker or record.locks)
        return Liveness(False if dead else None, gone, silent)

    def is_replaced(self, place: ProcessId, incarnation: int) -> bool:
        """Return whether the process at *place* has called ``exec`` since that incarnation."""
        return bool(place.pid_namespace) and 0 < incarnation < self._newest.get(place, 0)

    def silence_of_missing(self, place: ProcessId) -> float | None:
        """Return for how many seconds there has been no record of *place*; None if unknown."""
        peer = peer_of(place)
        self._missing[peer] = self._clock()
        if self._see(peer, MISSING).value != MISSING:
            return None
        return self._silence(peer)

    def limit(self, record: Heartbeat | None = None) -> float:
        """Return after how many seconds of silence a process counts as dead.

        Args:
            record: The record of the process. Without it the longest limit of all records counts.
        """
        records = self._records if record is None else [record]
        return max([self.stale_after, *(each.stale_after for each in records)]) or STALE_AFTER

    def _silence(self, peer: str) -> float | None:
        seen = self._seen[peer]
        own = (detector.silence(peer, seen.value) for detector in self.detectors)
        return max(
            (each for each in (*own, *self._believed(peer)) if each is not None), default=None
        )

    def _believed(self, peer: str) -> Iterable[float]:
        seen = self._seen[peer]
        for watcher, value_digest, seconds in self._notes.get(peer, ()):
            if watcher.changed and watcher.look > seen.look and value_digest == digest(seen.value):
                yield float(seconds)


def _is_there(place: ProcessId, known_here: bool) -> bool | None:
    if place != this_process():
        return place.is_alive()
    if known_here:
        return True
    # The record is of this process, from before it called exec.
    return False if place.pid_namespace else None
