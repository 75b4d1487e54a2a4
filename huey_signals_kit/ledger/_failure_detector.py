"""Detect failed processes on other hosts. The clocks of two hosts are never compared.

A process that writes heartbeats can watch its peers. A peer is silent while the value of its record
stays the same. That time counts only while the watcher can prove that the ledger was intact: each
of its own heartbeats found the value of the heartbeat before, none was late, and the server is the
same. Otherwise the silence of every peer restarts at 0, because a peer may have written a value
that was lost, or may have been unable to write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from hashlib import blake2b

BEAT_SECONDS = 5.0
"""How often a process writes its record."""

OVERDUE_SECONDS = 3 * BEAT_SECONDS
"""A process that has not written for so long is not known to be alive."""

FORGOTTEN_SECONDS = 600.0
"""After so long a silence a record is added to the totals, and its tasks no longer count."""

STALE_AFTER = 120.0
"""The default of ``install_handlers(stale_after=)``."""

LEAST_STALE_AFTER = 30.0
"""The least value of ``stale_after=``: a process that is busy may miss some heartbeats."""

GAP_SECONDS = 10.0
"""A watcher with a longer pause between two of its own heartbeats was suspended or starved."""

MISSING = b""
"""The value of a record that is missing."""

_MOST_NOTES = 100

SilenceNote = tuple[str, str, int]
"""A silent peer, the digest of its value, and its seconds of silence; part of a record."""


def digest(value: bytes) -> str:
    """Return a short digest of *value*."""
    return blake2b(value, digest_size=9).hexdigest()


class FailureDetector:
    """Measures, for one watcher, how long its peers have been silent.

    Args:
        clock: The watcher's own monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.reset()

    def now(self) -> float:
        """Return the time by the watcher's own clock."""
        return self._clock()

    def reset(self) -> None:
        """Restart the silence of every peer at the next heartbeat."""
        self._written: float | None = None
        self._read = 0.0
        self._server: str | None = None
        self._peers: dict[str, tuple[str, float]] = {}

    def observe(
        self, values: Mapping[str, bytes], *, written: float, intact: bool, server: str | None
    ) -> None:
        """Compare the values of all peers with those at the previous heartbeat.

        Args:
            values: The value of each peer's record, `MISSING` if it has none.
            written: When the watcher's own heartbeat had succeeded, before *values* were read.
            intact: Whether that heartbeat found the value of the previous one.
            server: The run id of the server, None if unknown.
        """
        valid = intact and self._written is not None and written - self._written <= GAP_SECONDS
        valid = valid and (server is None or self._server in (None, server))
        elapsed = max(0.0, written - self._read) if valid else 0.0
        before = self._peers if valid else {}
        self._peers = {}
        for peer, value in values.items():
            found = digest(value)
            known, silent = before.get(peer, ("", 0.0))
            self._peers[peer] = found, silent + elapsed if known == found else 0.0
        self._written, self._read = written, self._clock()
        self._server = server or self._server

    def silence(self, peer: str, value: bytes) -> float | None:
        """Return for how many seconds *peer* has had *value*; None if it is not watched."""
        known, silent = self._peers.get(peer, ("", 0.0))
        return silent if known == digest(value) else None

    def notes(self) -> tuple[SilenceNote, ...]:
        """Return notes about the silent peers for other readers, the longest silence first."""
        silent = [
            (peer, value, int(seconds))
            for peer, (value, seconds) in self._peers.items()
            if seconds >= OVERDUE_SECONDS
        ]
        return tuple(sorted(silent, key=lambda note: -note[2])[:_MOST_NOTES])
