"""Storages that do not keep what is due: this process remembers it."""

from __future__ import annotations

import heapq
import threading
from typing import Any

from ..runtime.fork import reset_in_child
from ._entry import BATCH, Entry


class InMemoryIndex:
    """Any storage, by Huey's public calls.

    These know no "delete if unchanged": a result that comes between the last look at the
    stored error and its removal is lost with it.
    """

    def __init__(self) -> None:
        self._due: list[tuple[float, str, bytes]] = []
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()  # reentrant: a signal handler may interrupt its holder

    def put(self, storage: Any, entry: Entry) -> Any:
        """Store it, then remember it."""
        answer = storage.put_data(entry.key, entry.value, is_result=True)
        self.schedule(storage, entry)
        return answer

    def schedule(self, storage: Any, entry: Entry) -> None:
        """Remember it."""
        with self._lock:
            heapq.heappush(self._due, (entry.due, entry.key, entry.value))

    def delete_due(self, storage: Any, now: float) -> bool:
        """Remove those that are due and unchanged."""
        for _ in range(BATCH):
            with self._lock:
                if not self._due or self._due[0][0] > now:
                    return False
                due = heapq.heappop(self._due)
            try:
                self._remove(storage, *due[1:])
            except BaseException:
                with self._lock:
                    heapq.heappush(self._due, due)
                raise
        return True

    def _remove(self, storage: Any, key: str, value: bytes) -> None:
        if storage.peek_data(key) == value:
            storage.delete_data(key)


class MemoryResults(InMemoryIndex):
    """``MemoryStorage``, where a result that comes meanwhile is put back."""

    def _remove(self, storage: Any, key: str, value: bytes) -> None:
        results = storage._results
        if results.get(key) == value:
            taken = results.pop(key, value)
            if taken != value:
                results.setdefault(key, taken)
