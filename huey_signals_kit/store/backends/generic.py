"""The backend for a storage that the kit does not know: Huey's documented storage methods.

These have no batches, so all keys, the queue and the schedule are read at once. They have no
compare-and-set either: a value is compared first, then taken, and put back if it was replaced
between the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from huey.constants import EmptyData

from ..protocol import LARGEST, Entry
from .batches import as_text, chunks, empty_if_large, make_entry


class UnsupportedStorage(Exception):
    """A storage that the kit does not know lacks a method that upkeep needs."""


class GenericStore:
    """A `Store` on any storage, without atomic comparisons.

    Every method raises `UnsupportedStorage` if the storage lacks what it needs.
    """

    newest_first = False

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self._type = type(storage).__name__
        self.name = f"unknown ({self._type})"

    def entries(self, prefix: str = "") -> Iterator[list[Entry]]:
        """Yield entries, by ``result_items``."""
        for chunk in chunks(self._items(prefix)):
            yield [
                make_entry(key, len(value), value if len(value) <= LARGEST else None)
                for key, value in chunk
            ]

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """Yield keys, by ``result_items``."""
        yield from chunks(key for key, _ in self._items(prefix))

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values, by ``peek_data``."""
        values = (self._call("peek_data", key) for key in keys)
        return [None if value is EmptyData else bytes(value) for value in values]

    def put(self, key: str, value: bytes) -> None:
        """Write a value, by ``put_data``."""
        self._call("put_data", key, value)

    def put_if_absent(self, key: str, value: bytes) -> bool:
        """Write a value if the key is missing, by ``put_if_empty``."""
        return bool(self._call("put_if_empty", key, value))

    def delete(self, keys: Iterable[str]) -> int:
        """Delete the keys, by ``delete_data``."""
        return sum(bool(self._call("delete_data", key)) for key in keys)

    def compare_and_delete(self, key: str, value: bytes) -> bool:
        """Delete the key if it has this value, by ``peek_data``, ``pop_data``, ``delete_data``."""
        if self.get([key]) != [value]:
            return False
        taken = self._call("pop_data", key)
        if taken is not EmptyData and bytes(taken) != value:
            self._call("put_if_empty", key, taken)
            return False
        # On some storages ``pop_data`` leaves the value there.
        return bool(self._call("delete_data", key)) or taken is not EmptyData

    def compare_and_delete_many(self, pairs: Iterable[tuple[str, bytes]]) -> list[str]:
        """Delete the pairs one by one."""
        return [key for key, value in pairs if self.compare_and_delete(key, value)]

    def compare_and_set(self, key: str, old: bytes, new: bytes) -> bool:
        """Write `new` if the value is `old`, by ``peek_data`` and ``put_data``.

        A value that another process writes between the two is lost.
        """
        if self.get([key]) != [old]:
            return False
        self.put(key, new)
        return True

    def queued(self) -> Iterator[list[bytes]]:
        """Yield the messages of the queue, by ``enqueued_items``."""
        yield from chunks(empty_if_large(bytes(data)) for data in self._call("enqueued_items"))

    def scheduled(self) -> Iterator[list[bytes]]:
        """Yield the messages of the schedule, by ``scheduled_items``."""
        yield from chunks(empty_if_large(bytes(data)) for data in self._call("scheduled_items"))

    def queue_ends(self) -> list[bytes]:
        """Return the first message, by ``enqueued_items``, which cannot give the last alone."""
        return [bytes(data) for data in self._call("enqueued_items", 1)][:1]

    def next_scheduled(self) -> bytes | None:
        """Return the message that is due first, by ``scheduled_items``."""
        return next((bytes(data) for data in self._call("scheduled_items", 1)), None)

    def _items(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        for key, value in self._call("result_items").items():
            text = as_text(key)
            if text.startswith(prefix) and value is not None:
                yield text, bytes(value)

    def _call(self, method: str, *args: Any) -> Any:
        try:
            return getattr(self._storage, method)(*args)
        except (NotImplementedError, AttributeError) as exc:
            raise UnsupportedStorage(
                f"{self._type} is not one of Huey's storages, and its {method}() cannot be used "
                f"({type(exc).__name__}: {exc}). Upkeep of its queue needs {method}(), as "
                "huey.storage.BaseStorage documents it"
            ) from exc
