"""Detect failed processes on other hosts. The clocks of two hosts are never compared.

A process that writes heartbeats watches its peers. A peer is silent while its record keeps its
value, and the time counts only while the watcher itself can prove that the ledger was intact: each
of its own heartbeats found what the heartbeat before had written, none was late, and the server is
the same. Otherwise the silence of every peer begins again at 0: a peer may have written something
that was lost, or was unable to write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from hashlib import blake2b

BEAT_SECONDS = 5.0
"""How often a process writes its record."""

OVERDUE_SECONDS = 3 * BEAT_SECONDS
"""A process that has not written for so long is not known to live."""

FORGOTTEN_SECONDS = 600.0
"""After so long a silence a record is folded, and its running tasks count no more."""

STALE_AFTER = 120.0
"""The default of ``install_handlers(stale_after=)``."""

LEAST_STALE_AFTER = 30.0
"""The least of it: a process that is merely busy may miss some heartbeats."""

GAP_SECONDS = 10.0
"""With more between two of its own heartbeats, a watcher was paused, suspended or starved."""

MISSING = b""
"""In place of the value of a record that is not there."""

_MOST_NOTES = 100

SilenceNote = tuple[str, str, int]
"""In a watcher's own record: a peer, the digest of its value, seconds of silence."""


def digest(value: bytes) -> str:
    """Return a short text that stands for *value*."""
    return blake2b(value, digest_size=9).hexdigest()


class FailureDetector:
    """One watcher's knowledge of how long its peers have been silent.

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
        """Forget every silence: the time until the next heartbeat proves nothing."""
        self._written: float | None = None
        self._read = 0.0
        self._server: str | None = None
        self._peers: dict[str, tuple[str, float]] = {}

    def observe(
        self, values: Mapping[str, bytes], *, written: float, intact: bool, server: str | None
    ) -> None:
        """Compare the values of all peers with those after the heartbeat before.

        Args:
            values: By peer, the value of its record, `MISSING` where there is none.
            written: When the watcher's own heartbeat, before this reading, had succeeded.
            intact: Whether that heartbeat found what the one before had written.
            server: The server's run id, None where it cannot be read.
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
        """Return what others may learn of the peers that are silent, the longest silence first."""
        silent = [
            (peer, value, int(seconds))
            for peer, (value, seconds) in self._peers.items()
            if seconds >= OVERDUE_SECONDS
        ]
        return tuple(sorted(silent, key=lambda note: -note[2])[:_MOST_NOTES])
