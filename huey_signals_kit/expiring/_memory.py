"""An index in the memory of this process, for storages that cannot keep one.

A process that is killed loses it, so its errors stay.
"""

from __future__ import annotations

import heapq
import threading
from typing import Any

from ..runtime.fork import reset_in_child
from ..store import MemoryStore
from ._entry import BATCH, Entry


class InMemoryIndex:
    """The backend for any storage, by Huey's public storage methods.

    These have no compare-and-delete: a result that is stored between the last comparison and the
    deletion is lost.
    """

    has_index = True

    def __init__(self) -> None:
        self._heap: list[tuple[float, str, bytes]] = []
        """For each error, the time when it is due, its key and its value."""
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()  # reentrant: a Unix signal handler may interrupt its holder

    def put(self, storage: Any, entry: Entry) -> Any:
        """Store the error, then add it to the index."""
        answer = storage.put_data(entry.key, entry.value, is_result=True)
        self.schedule(storage, entry)
        return answer

    def schedule(self, storage: Any, entry: Entry) -> None:
        """Add the error to the index."""
        with self._lock:
            heapq.heappush(self._heap, (entry.due, entry.key, entry.value))

    def delete_due(self, storage: Any, now: float) -> bool:
        """Delete errors that are due; one whose deletion fails stays in the index."""
        for _ in range(BATCH):
            with self._lock:
                if not self._heap:
                    return False
                due, key, value = first = self._heap[0]
                if due > now:
                    return False
                heapq.heappop(self._heap)
            try:
                self._delete(storage, key, value)
            except BaseException:
                with self._lock:
                    heapq.heappush(self._heap, first)
                raise
        return True

    def _delete(self, storage: Any, key: str, value: bytes) -> None:
        if storage.peek_data(key) == value:
            storage.delete_data(key)


class MemoryResults(InMemoryIndex):
    """The backend for ``MemoryStorage``: a result that is taken by mistake is put back."""

    def _delete(self, storage: Any, key: str, value: bytes) -> None:
        MemoryStore(storage).compare_and_delete(key, value)
