"""Measure how long messages have waited, although Huey does not store when a message was enqueued.

Whenever the queue is read, the process notes when it first saw the message that a worker takes
next, and the last one in the queue. A report reads the whole queue, and so finds out which noted
messages are still there. So the age is a lower bound: the oldest message has waited for at least
that long.

A message that is put back unchanged, such as one of a task that raises `RetryTask()`, keeps its
digest. Messages leave a queue in order, also in one with priorities. So the message is known to be
put back if a message behind it, which was the last one, is gone, or if it is the last one again.
A message that is put back and is alone in the queue at each scrape looks like one that waits.
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
        self._noted_last: set[bytes] = set()
        """Those that were the last one in the queue when they were noted."""
        self._last = b""
        """The last message in the queue when it was read last."""
        self._found: set[bytes] = set()
        self._reading_since = 0.0
        self._age_in_report = 0.0
        """The age of the oldest noted message that the last report has found in the queue."""

    def observe(self, ends: list[bytes]) -> float:
        """Note the ends of the queue; return the age of the oldest message, at least.

        Args:
            ends: The next message and the last one, as `Store.queue_ends` returns them; of a
                storage that cannot tell the last one, only the next.
        """
        digests = list(map(_digest, ends))
        with self._lock:
            now = self._clock()
            if not ends:
                self._first_seen, self._age_in_report, self._last = {}, 0.0, b""
                return 0.0
            if len(self._first_seen) >= MAX_NOTED:
                self._first_seen = dict(list(self._first_seen.items())[::2])
            self._first_seen.setdefault(digests[0], now)
            if len(digests) > 1:
                self._note_last(digests[-1], now)
            # The next message is older than the last one, so it is as old as either at least.
            seen = min(self._first_seen[digest] for digest in digests)
            return max(now - seen, self._age_in_report)

    def _note_last(self, last: bytes, now: float) -> None:
        """Note the last message again if another one was the last: it was enqueued since then."""
        if last != self._last or last not in self._first_seen:
            self._first_seen.pop(last, None)
            self._first_seen[last] = now
            self._noted_last = (self._noted_last & self._first_seen.keys()) | {last}
            self._last = last

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
        """Drop the messages that the report has not found, except later ones.

        All messages that were ahead of a dropped one have left the queue before it. If one of them
        is found, it was put back, and is dropped, too.
        """
        with self._lock:
            since, noted = self._reading_since, self._first_seen
            missing = self._noted_last & noted.keys() - self._found
            left = max((noted[digest] for digest in missing if noted[digest] < since), default=-1.0)
            self._first_seen = {
                digest: at
                for digest, at in noted.items()
                if at >= since or (digest in self._found and at > left)
            }
            oldest = min(self._first_seen.values(), default=since)
            self._age_in_report = max(0.0, since - oldest)


def _digest(message: bytes) -> bytes:
    return blake2b(message, digest_size=16).digest()
