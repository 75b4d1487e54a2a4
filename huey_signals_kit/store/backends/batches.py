"""Helpers of all backends: keys as text, and batches bounded in number and in bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from ..protocol import BATCH, BATCH_BYTES, LARGEST, Entry

T = TypeVar("T")


def as_text(key: Any) -> str:
    """Return a key as text."""
    if isinstance(key, bytes):
        return key.decode("utf-8", "surrogateescape")
    return str(key)


def as_bytes(key: str) -> bytes:
    """Return a key as Redis and files have it; the inverse of `as_text`."""
    return key.encode("utf-8", "surrogateescape")


def is_key(key: str) -> bool:
    """Return whether storages can have a key: one with a lone surrogate cannot be encoded."""
    try:
        as_bytes(key)
    except UnicodeEncodeError:
        return False
    return True


def chunks(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Yield the items in lists of up to `size`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def make_entry(key: str, size: int, value: bytes | None) -> Entry:
    """Return the `Entry` of a key.

    Args:
        key: The key.
        size: Bytes of the value, used only if the value was not fetched.
        value: The value, None if it was not fetched.
    """
    key_size = len(key) if key.isascii() else len(key.encode("utf-8", "surrogatepass"))
    if value is None:
        return Entry(key, b"", key_size + size, False)
    return Entry(key, value, key_size + len(value), True)


def fetch_in_batches(
    sizes: Iterable[tuple[T, int]], fetch: Callable[[list[T]], dict[T, bytes]]
) -> Iterator[list[tuple[T, int, bytes | None]]]:
    """Yield name, size and value, in batches that stay below `BATCH_BYTES`.

    A value over `LARGEST` is not fetched and is yielded as None. A name that is missing from what
    `fetch` returns was deleted meanwhile and is left out.

    Args:
        sizes: Names, such as keys or paths, with the bytes of their values.
        fetch: Returns the values of some names.
    """
    for batch in _batches_by_size(sizes):
        values = fetch([name for name, size in batch if size <= LARGEST])
        yield [
            (name, size, values.get(name))
            for name, size in batch
            if size > LARGEST or name in values
        ]


def _batches_by_size(sizes: Iterable[tuple[T, int]]) -> Iterator[list[tuple[T, int]]]:
    batch: list[tuple[T, int]] = []
    room = BATCH_BYTES
    for name, size in sizes:
        fetched_size = size if size <= LARGEST else 0
        if batch and (fetched_size > room or len(batch) == BATCH):
            yield batch
            batch, room = [], BATCH_BYTES
        batch.append((name, size))
        room -= fetched_size
    if batch:
        yield batch


class AdaptiveBatchSize:
    """The number of values to request from a server that cannot be asked for their sizes first.

    It starts at 100, grows while values are small, and falls to one while they are large.

    Args:
        max_count: The largest number of values.
    """

    def __init__(self, max_count: int = BATCH) -> None:
        self.count = 100
        self._max_count = max_count

    def update(self, count: int, size: int) -> None:
        """Learn from a batch of `count` values that have `size` bytes together."""
        if count:
            mean = max(1, size // count)
            self.count = max(1, min(self._max_count, BATCH_BYTES // 4 // mean, self.count * 10))


def empty_if_large(message: bytes) -> bytes:
    """Return the message, or ``b""`` if it is larger than `LARGEST`."""
    return message if len(message) <= LARGEST else b""
