"""The operations that the kit needs from a storage, in batches, the same for every storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

BATCH = 1000
"""The number of keys or messages in one batch. Larger batches are not faster, and they block a
server for longer."""

BATCH_BYTES = 4 * 1024 * 1024
"""The bytes of values after which a batch ends early; it has at least one value."""

LARGEST = 32 * 1024 * 1024
"""The bytes of the largest value that is fetched."""


class Entry(NamedTuple):
    """A key of the result store with its raw value.

    A value larger than `LARGEST` is not fetched: then `value` is empty and `is_fetched` is False.
    """

    key: str
    value: bytes
    size: int
    """Bytes of the key and the value in the store."""
    is_fetched: bool = True


class Store(Protocol):
    """The storage of one Huey as data: nothing is unpickled, and no server is blocked.

    Keys are text; bytes that are not UTF-8 are kept by ``surrogateescape``. While other processes
    write, every key that exists during the whole iteration is read at least once; a key may be
    read twice.
    """

    name: str
    """The name of the storage's family in reports, such as ``"redis hash"`` or ``"sqlite"``."""

    @property
    def newest_first(self) -> bool | None:
        """Whether `queued` yields the newest messages of a priority first; None if unordered."""

    def entries(self, prefix: str = "") -> Iterator[list[Entry]]:
        """Yield the keys that begin with `prefix` and their values, in batches of about `BATCH`."""

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """Yield the keys that begin with `prefix`, page by page; a page may be empty."""

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the value of each key, None for a key that is missing."""

    def delete(self, keys: Iterable[str]) -> int:
        """Delete the keys in as few round trips as possible; return how many existed."""

    def compare_and_delete(self, key: str, value: bytes) -> bool:
        """Delete `key` if it has this value, atomically; return whether it had."""

    def compare_and_delete_many(self, pairs: Iterable[tuple[str, bytes]]) -> list[str]:
        """Do `compare_and_delete` for each pair of key and value; return the deleted keys."""

    def compare_and_set(self, key: str, old: bytes, new: bytes) -> bool:
        """Write `new` if the value of `key` is `old`, atomically; return whether it was.

        If the key has a time to live, it keeps it.
        """

    def queued(self) -> Iterator[list[bytes]]:
        """Yield the messages of the queue in batches; one over `LARGEST` is yielded as ``b""``."""

    def scheduled(self) -> Iterator[list[bytes]]:
        """Yield the messages of the schedule in the same way."""

    def queue_ends(self) -> list[bytes]:
        """Return the message that a worker takes next and the last one in line.

        The rest of the queue is not read. They are the same message if there is only one; an empty
        queue has none, and a storage that the kit does not know gives the first alone.
        """

    def next_scheduled(self) -> bytes | None:
        """Return the message of the schedule that is due first; None if there is none."""
