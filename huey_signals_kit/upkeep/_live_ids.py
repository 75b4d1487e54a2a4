"""Every place where a task can be, and the ids that stand there at any depth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Protocol

from ..store.protocol import Store
from ..store.reader import Unreadable
from ._ids import packed


class Running(Protocol):
    """What consumers say that they run; the ledger of a queue."""

    def running_ids(self) -> set[str]:
        """Ids of running tasks, and all that are nested in them."""


ReadIds = Callable[[bytes], Iterable[str]]
"""The ids that stand in a message at any depth; `Unreadable` if it cannot be read."""


class LiveTaskIds:
    """The ids that were seen anywhere since this began; one seen alive counts as alive for good.

    A message is read once, however often it is seen.
    """

    def __init__(self, store: Store, running: Running, read_ids: ReadIds) -> None:
        self._store = store
        self._running = running
        self._read_ids = read_ids
        self._known: set[bytes] = set()
        self._began = 0.0
        self.took = 0.0
        """How many seconds the last look took."""
        self.alive: set[bytes] = set()
        """Those that Huey has made, packed."""
        self.newly_seen: set[bytes] = set()
        """Those of them that were first seen since this was emptied."""
        self._custom: set[str] = set()
        self.unreadable: set[bytes] = set()
        """Digests of the messages that could not be read."""

    @property
    def complete(self) -> bool:
        """Whether all that was seen could be read."""
        return not self.unreadable

    def refresh(self, passes: int = 2) -> None:
        """Go round, in the direction in which tasks move: schedule, queue, running; and again.

        What leaves a place before it is read is found in the next one, or in the next
        heartbeat of the process that took it: that one is waited for before anything is deleted.
        """
        self._began = time.monotonic()
        seen: set[bytes] = set()
        for _ in range(passes):
            self._read(self._store.scheduled(), seen)
            self._read(self._store.queued(), seen)
            self._add(self._running.running_ids())
        self._known = seen
        self.took = time.monotonic() - self._began

    def has(self, task_id: str) -> bool:
        """Whether *task_id* was seen anywhere, whoever has made it."""
        made = packed(task_id)
        return task_id in self._custom if made is None else made in self.alive

    def age(self) -> float:
        """Seconds since the last look began."""
        return time.monotonic() - self._began

    def _read(self, batches: Iterator[list[bytes]], seen: set[bytes]) -> None:
        for batch in batches:
            for message in batch:
                digest = blake2b(message, digest_size=16).digest()
                if digest not in self._known and digest not in seen:
                    self._take(message, digest)
                seen.add(digest)

    def _take(self, message: bytes, digest: bytes) -> None:
        try:
            self._add(self._read_ids(message))
        except Unreadable:
            self.unreadable.add(digest)

    def _add(self, task_ids: Iterable[str]) -> None:
        for each in task_ids:
            made = packed(each)
            if made is None:
                self._custom.add(each)
            elif made not in self.alive:
                self.alive.add(made)
                self.newly_seen.add(made)
