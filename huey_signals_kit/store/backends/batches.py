"""What the families of storages share: keys as text, and batches bounded in number and bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from ..protocol import BATCH, BATCH_BYTES, LARGEST, Entry

T = TypeVar("T")


def as_text(key: Any) -> str:
    """A key as text."""
    if isinstance(key, bytes):
        return key.decode("utf-8", "surrogateescape")
    return str(key)


def as_bytes(key: str) -> bytes:
    """The key that `as_text` made text of, as Redis and files have it."""
    return key.encode("utf-8", "surrogateescape")


def chunks(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """The *items*, up to *size* at a time."""
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


def entry(key: str, size: int, value: bytes | None) -> Entry:
    """The entry of a *key*, whose value takes *size* bytes and was fetched if it is no None."""
    length = len(key) if key.isascii() else len(key.encode("utf-8", "surrogatepass"))
    if value is None:
        return Entry(key, b"", length + size, False)
    return Entry(key, value, length + len(value), True)


def fitting(sizes: Iterable[tuple[T, int]]) -> Iterator[list[tuple[T, int]]]:
    """Runs of names and sizes whose values can be fetched at once, `LARGEST` left out of it."""
    run: list[tuple[T, int]] = []
    room = BATCH_BYTES
    for name, size in sizes:
        taken = size if size <= LARGEST else 0
        if run and (taken > room or len(run) == BATCH):
            yield run
            run, room = [], BATCH_BYTES
        run.append((name, size))
        room -= taken
    if run:
        yield run


def fetched(
    sizes: Iterable[tuple[T, int]], fetch: Callable[[list[T]], dict[T, bytes]]
) -> Iterator[list[tuple[T, int, bytes | None]]]:
    """The values of those named in *sizes*, by *fetch*, in batches that are not too large.

    A value over `LARGEST` comes as None. One that has gone meanwhile is left out.
    """
    for run in fitting(sizes):
        values = fetch([name for name, size in run if size <= LARGEST])
        yield [
            (name, size, values.get(name)) for name, size in run if size > LARGEST or name in values
        ]


class AdaptiveBatchSize:
    """How many to ask a server for that cannot be asked for sizes: fewer when they are large."""

    def __init__(self, most: int = BATCH) -> None:
        self.count = 100
        self._most = most

    def saw(self, number: int, size: int) -> None:
        """Learn from a batch of *number* values, of *size* bytes in all."""
        if number:
            mean = max(1, size // number)
            self.count = max(1, min(self._most, BATCH_BYTES // 4 // mean, self.count * 10))


def bounded(message: bytes) -> bytes:
    """The *message*, or nothing of it when it is larger than is read."""
    return message if len(message) <= LARGEST else b""
