"""Collect the ids of all tasks that can still run, with the ids nested in them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Protocol

from ..store.protocol import Store
from ..store.reader import Unreadable
from ._ids import pack_id


class RunningIds(Protocol):
    """The tasks that consumers run, as the ledger of a queue knows them."""

    def running_ids(self) -> set[str]:
        """Return the ids of running tasks, and all ids nested in them."""


ReadIds = Callable[[bytes], Iterable[str]]
"""Returns the ids at any depth of a message; raises `Unreadable` if it cannot be read."""


class LiveTaskIds:
    """The ids that were seen in the queue, in the schedule or in a running task.

    An id that was seen once counts as live from then on, even if its task has ended since. A
    message is decoded once, however often it is read; a digest of it is kept to know it again.

    Args:
        store: The store of the queue.
        running: The ledger of the queue.
        read_ids: Reads the ids in a message.
    """

    def __init__(self, store: Store, running: RunningIds, read_ids: ReadIds) -> None:
        self._store = store
        self._running = running
        self._read_ids = read_ids
        self._known_messages: set[bytes] = set()
        self._refreshed_at = 0.0
        self.refresh_seconds = 0.0
        """The duration of the last refresh."""
        self.live: set[bytes] = set()
        """The live ids that Huey has made, packed."""
        self.newly_seen: set[bytes] = set()
        """The ids that were added to `live` since the caller cleared this set."""
        self._custom: set[str] = set()
        """The live ids that Huey has not made."""
        self.unreadable: set[bytes] = set()
        """Digests of the messages that cannot be read."""

    @property
    def is_complete(self) -> bool:
        """Whether everything could be read, so that an id that is not here is not live."""
        return not self.unreadable

    def refresh(self, passes: int = 2) -> None:
        """Read all places where tasks can be, in the direction in which tasks move, repeatedly.

        The order is schedule, queue, running. A task that leaves a place before it is read is
        found in the next place, or in the next heartbeat of the process that has dequeued it; the
        caller waits for that heartbeat before it deletes anything.

        Args:
            passes: The number of times that all places are read.
        """
        self._refreshed_at = time.monotonic()
        messages: set[bytes] = set()
        for _ in range(passes):
            self._read(self._store.scheduled(), messages)
            self._read(self._store.queued(), messages)
            self._add(self._running.running_ids())
        self._known_messages = messages
        self.refresh_seconds = time.monotonic() - self._refreshed_at

    def has(self, task_id: str) -> bool:
        """Return whether an id of any form was seen."""
        packed = pack_id(task_id)
        return task_id in self._custom if packed is None else packed in self.live

    def age(self) -> float:
        """Return the seconds since the last refresh began."""
        return time.monotonic() - self._refreshed_at

    def _read(self, batches: Iterator[list[bytes]], messages: set[bytes]) -> None:
        for batch in batches:
            for message in batch:
                digest = blake2b(message, digest_size=16).digest()
                if digest not in self._known_messages and digest not in messages:
                    self._decode(message, digest)
                messages.add(digest)

    def _decode(self, message: bytes, digest: bytes) -> None:
        try:
            self._add(self._read_ids(message))
        except Unreadable:
            self.unreadable.add(digest)

    def _add(self, task_ids: Iterable[str]) -> None:
        for task_id in task_ids:
            packed = pack_id(task_id)
            if packed is None:
                self._custom.add(task_id)
            elif packed not in self.live:
                self.live.add(packed)
                self.newly_seen.add(packed)
