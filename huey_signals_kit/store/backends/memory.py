"""The backend for ``MemoryStorage``: dictionaries of this process, copied before they are read.

Huey reads and writes these dictionaries without a lock, so a lock alone would not protect a
comparison against Huey. Only single operations of a dictionary are atomic. That is why
`_take` removes a value first, then looks at what it removed, and puts back what it should not
have removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..protocol import LARGEST, Entry
from .batches import as_bytes, as_text, chunks, empty_if_large, make_entry


class MemoryStore:
    """A `Store` on a ``MemoryStorage``."""

    name = "memory"
    newest_first = False

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def entries(self, prefix: str = "") -> Iterator[list[Entry]]:
        """Yield entries: the keys from one copy, their values batch by batch."""
        for keys in self.keys(prefix):
            pairs = zip(keys, self.get(keys), strict=True)
            yield [
                make_entry(key, len(value), value if len(value) <= LARGEST else None)
                for key, value in pairs
                if value is not None
            ]

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """Yield keys, from one copy."""
        keys = map(as_text, list(self._storage._results))
        yield from chunks(key for key in keys if key.startswith(prefix))

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values."""
        results = self._storage._results
        values = (results.get(self._stored_key(key)) for key in keys)
        return [None if value is None else bytes(value) for value in values]

    def put(self, key: str, value: bytes) -> None:
        """Write a value, as Huey does."""
        self._storage.put_data(key, value)

    def put_if_absent(self, key: str, value: bytes) -> bool:
        """Write a value if the key is missing; Huey before 3.0 checks without the lock."""
        with self._storage._lock:
            return bool(self._storage.put_if_empty(key, value))

    def delete(self, keys: Iterable[str]) -> int:
        """Delete the keys one by one."""
        results = self._storage._results
        return sum(results.pop(self._stored_key(key), None) is not None for key in keys)

    def compare_and_delete(self, key: str, value: bytes) -> bool:
        """Delete the key if it has this value.

        Hot path: each release of a lock passes here, usually with the very object that the
        dictionary holds, so that case comes first.
        """
        results = self._storage._results
        if results.get(key) is not value:
            return self._take(self._stored_key(key), value)
        removed = results.pop(key, None)
        if removed is not None and removed is not value:
            results.setdefault(key, removed)
        return removed is value

    def compare_and_delete_many(self, pairs: Iterable[tuple[str, bytes]]) -> list[str]:
        """Delete the pairs one by one."""
        return [key for key, value in pairs if self.compare_and_delete(key, value)]

    def compare_and_set(self, key: str, old: bytes, new: bytes) -> bool:
        """Write `new` if the value is `old`, under the lock that ``put_if_empty`` uses.

        The key is missing for a moment; since Huey 3.0 the lock keeps ``put_if_empty``
        out meanwhile.
        """
        stored_key = self._stored_key(key)
        with self._storage._lock:
            results = self._storage._results
            return self._take(stored_key, old) and results.setdefault(stored_key, new) is new

    def queued(self) -> Iterator[list[bytes]]:
        """Yield the messages of the queue, from one copy."""
        yield from chunks(empty_if_large(message) for *_, message in sorted(self._storage._queue))

    def scheduled(self) -> Iterator[list[bytes]]:
        """Yield the messages of the schedule, from one copy.

        The copy is made under the lock, because Huey takes tasks out and puts them back under it.
        """
        with self._storage._lock:
            schedule = list(self._storage._schedule)
        yield from chunks(empty_if_large(message) for _, message in schedule)

    def queue_ends(self) -> list[bytes]:
        """Return the first and the last message, from one copy."""
        queue = list(self._storage._queue)
        return [min(queue)[-1], max(queue)[-1]] if queue else []

    def next_scheduled(self) -> bytes | None:
        """Return the message with the earliest time, under the lock as in `scheduled`."""
        with self._storage._lock:
            return min(self._storage._schedule, default=(None, None))[1]

    def _take(self, key: Any, value: bytes) -> bool:
        results = self._storage._results
        if results.get(key) != value:
            return False
        removed = results.pop(key, None)
        if removed is None or removed == value:
            return removed is not None
        results.setdefault(key, removed)
        return False

    def _stored_key(self, key: str) -> Any:
        """Return the key as the dictionary has it: Huey may have written it as bytes."""
        results = self._storage._results
        if key in results:
            return key
        raw = as_bytes(key)
        return raw if raw in results else key
