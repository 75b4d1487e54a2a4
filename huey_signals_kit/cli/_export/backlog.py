"""Measure how long messages have waited, although Huey does not store when a message was enqueued.

Whenever the queue is read, the process notes when it first saw the message that a worker takes
next, and the last one in the queue. A report reads the whole queue, and so finds out which noted
messages are still there. So the age is a lower bound: the oldest message has waited for at least
that long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from hashlib import blake2b

MAX_NOTED = 1000
"""Noted messages at most; beyond that every other one is dropped, except the oldest."""


class Backlog:
    """The messages of one queue that this process has seen, by digest, with the time of it.

    Args:
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._first_seen: dict[bytes, float] = {}
        """Oldest first."""
        self._found: set[bytes] = set()
        self._reading_since = 0.0
        self._age_in_report = 0.0
        """The age of the oldest noted message that the last report has found in the queue."""

    def observe(self, ends: list[bytes]) -> float:
        """Note the ends of the queue; return the age of the oldest message, at least.

        Args:
            ends: The next message and the last one, as `Store.queue_ends` returns them.
        """
        with self._lock:
            now = self._clock()
            if not ends:
                self._first_seen, self._age_in_report = {}, 0.0
                return 0.0
            if len(self._first_seen) >= MAX_NOTED:
                self._first_seen = dict(list(self._first_seen.items())[::2])
            # The next message is older than the last one, so it is as old as either at least.
            seen = [self._first_seen.setdefault(_digest(end), now) for end in ends]
            return max(now - min(seen), self._age_in_report)

    def start_report(self) -> None:
        """Note that a report begins to read the queue."""
        with self._lock:
            self._found, self._reading_since = set(), self._clock()

    def found(self, messages: Iterable[bytes]) -> None:
        """Note messages that the report has found in the queue."""
        with self._lock:
            noted = self._first_seen
        if noted:
            self._found |= noted.keys() & set(map(_digest, messages))

    def end_report(self) -> None:
        """Drop the messages that the report has not found, except later ones."""
        with self._lock:
            since = self._reading_since
            found = [at for digest, at in self._first_seen.items() if digest in self._found]
            self._age_in_report = max((since - at for at in found), default=0.0)
            self._first_seen = {
                digest: at
                for digest, at in self._first_seen.items()
                if digest in self._found or at >= since
            }


def _digest(message: bytes) -> bytes:
    return blake2b(message, digest_size=16).digest()
