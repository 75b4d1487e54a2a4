"""``MemoryStorage``: dictionaries of this process, copied in one step before they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..protocol import LARGEST, Entry
from .batches import as_bytes, as_text, bounded, chunks, entry


class MemoryStore:
    """Single steps on a dictionary, which are atomic; Huey itself takes no lock for them."""

    name = "memory"
    atomic = True
    newest_first = False

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def entries(self, prefix: str = "") -> Iterator[list[Entry]]:
        """One copy of the keys, then the values batch by batch."""
        for keys in self.keys(prefix):
            pairs = zip(keys, self.get(keys), strict=True)
            yield [
                entry(key, len(value), value if len(value) <= LARGEST else None)
                for key, value in pairs
                if value is not None
            ]

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """One copy of the keys."""
        found = (as_text(key) for key in list(self._storage._results))
        yield from chunks(key for key in found if key.startswith(prefix))

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """A look-up for each."""
        results = self._storage._results
        found = (results.get(self._own(key)) for key in keys)
        return [None if value is None else bytes(value) for value in found]

    def put(self, key: str, value: bytes) -> None:
        """One step."""
        self._storage.put_data(key, value)

    def put_if_absent(self, key: str, value: bytes) -> bool:
        """Under the lock that Huey's own takes only since 3.0."""
        with self._storage._lock:
            return bool(self._storage.put_if_empty(key, value))

    def delete(self, keys: Iterable[str]) -> int:
        """A step for each."""
        results = self._storage._results
        return sum(results.pop(self._own(key), None) is not None for key in keys)

    def compare_and_delete(self, key: str, value: bytes) -> bool:
        """Taken out, and put back if it had changed between two steps."""
        results = self._storage._results
        if results.get(key) is not value:
            return self._take(self._own(key), value)
        taken = results.pop(key, None)
        if taken is not None and taken is not value:
            results.setdefault(key, taken)
        return taken is value

    def compare_and_delete_many(self, pairs: Iterable[tuple[str, bytes]]) -> list[str]:
        """One after another."""
        return [key for key, value in pairs if self.compare_and_delete(key, value)]

    def compare_and_set(self, key: str, old: bytes, new: bytes) -> bool:
        """Under the lock of ``put_if_empty``, so that nobody takes a lock in between."""
        own = self._own(key)
        with self._storage._lock:
            return self._take(own, old) and self._storage._results.setdefault(own, new) is new

    def queued(self) -> Iterator[list[bytes]]:
        """One copy."""
        yield from chunks(bounded(data) for *_, data in sorted(self._storage._queue))

    def scheduled(self) -> Iterator[list[bytes]]:
        """One copy; Huey's scheduler takes tasks out and back in under the lock."""
        with self._storage._lock:
            copy = list(self._storage._schedule)
        yield from chunks(bounded(data) for _, data in copy)

    def _take(self, key: Any, value: bytes) -> bool:
        results = self._storage._results
        if results.get(key) != value:
            return False
        taken = results.pop(key, None)
        if taken is None or taken == value:
            return taken is not None
        results.setdefault(key, taken)
        return False

    def _own(self, key: str) -> Any:
        # A key may have been written as bytes.
        return key if key in self._storage._results else _found(self._storage._results, key)


def _found(results: dict[Any, Any], key: str) -> Any:
    raw = as_bytes(key)
    return raw if raw in results else key
