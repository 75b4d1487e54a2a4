"""What every storage can be asked, in batches, whatever it is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

BATCH = 1000
"""Keys or messages in one batch: more gains nothing and blocks a server for longer."""

BATCH_BYTES = 4 * 1024 * 1024
"""Bytes of values in one batch: after that it ends early, but never before the first value."""

LARGEST = 32 * 1024 * 1024
"""Bytes of the largest value that is fetched."""


class Entry(NamedTuple):
    """One key of the result store, with its raw value and the bytes both take."""

    key: str
    value: bytes
    size: int
    whole: bool = True
    """False when the value is larger than `LARGEST`: then *value* is empty."""


class Store(Protocol):
    """The storage of one Huey as data. Nothing here unpickles anything or blocks a server.

    Keys are text (what is not UTF-8 is kept by ``surrogateescape``). While others write, every
    key that is there all the time is read at least once; one may come twice.
    """

    name: str
    """The name of the storage's family, for reports: ``"redis hash"``, ``"sqlite"``, ..."""

    atomic: bool
    """Whether both compare-and calls are atomic; False only for an unknown storage."""

    @property
    def newest_first(self) -> bool | None:
        """In which order `queued` gives messages of one priority; None where it has no order."""

    def entries(self, prefix: str = "") -> Iterator[list[Entry]]:
        """Every key that begins with *prefix*, with its value, in batches of about `BATCH`."""

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """The same without values."""

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The value of each of *keys*, None for one that is not there; one round trip."""

    def put(self, key: str, value: bytes) -> None:
        """Write a value of the kit's own."""

    def put_if_absent(self, key: str, value: bytes) -> bool:
        """The same, if there is no such key; atomically."""

    def delete(self, keys: Iterable[str]) -> int:
        """Delete *keys* in as few round trips as can be; how many were there."""

    def compare_and_delete(self, key: str, value: bytes) -> bool:
        """Delete *key* if it still has *value*, atomically; whether it was so."""

    def compare_and_delete_many(self, pairs: Iterable[tuple[str, bytes]]) -> list[str]:
        """`compare_and_delete` for many keys and values; the keys of those that were deleted."""

    def compare_and_set(self, key: str, old: bytes, new: bytes) -> bool:
        """Write *new* if *key* still has *old*, atomically; whether it was so.

        A time to live that the key had goes on.
        """

    def queued(self) -> Iterator[list[bytes]]:
        """Every message of the queue, in batches; one over `LARGEST` comes as ``b""``."""

    def scheduled(self) -> Iterator[list[bytes]]:
        """Every message of the schedule, in the same way."""
