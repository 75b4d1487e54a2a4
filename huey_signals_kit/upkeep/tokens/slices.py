"""Hold the tokens that a sweep works on, in 20 bytes each, sorted by how their ids begin.

A sweep reads half a million tokens before it reads the queue and the schedule, because reading
those costs the same for one token as for all. As Python objects in a `dict` they would take
four times as much memory. So the packed ids are joined in one `bytearray` per bucket of the marks,
and a parallel array has the index of each token's value: nearly all tokens have one of two values.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import groupby, repeat
from operator import itemgetter

from .._ids import SIZE, iter_ids
from .marks import BUCKETS

MAX_VALUES = 50_000
"""Different values that one slice holds."""

_SORT_BATCH = 4096
_FIRST_BYTE = itemgetter(0)


class Slice:
    """Packed ids of tokens by bucket, each with the value that its token had.

    Args:
        started: When the sweep began to read the tokens of this slice, in seconds since the epoch.
    """

    def __init__(self, started: float) -> None:
        self.started = started
        self.size = 0
        """The number of tokens."""
        self.values: list[bytes] = []
        """The different values; a token refers to its value by the index in this list."""
        self.is_token: list[bool] = []
        """For each value, whether it is what Huey writes into a token; set by the sweep."""
        self._indexes: dict[bytes, int] = {}
        self._unsorted: list[bytearray] = []
        self._ids = [bytearray() for _ in range(BUCKETS)]
        self._value_indexes = [array("I") for _ in range(BUCKETS)]

    def add(self, value: bytes, packed_ids: bytes) -> None:
        """Add tokens that all have the same value.

        Args:
            value: The value of the tokens.
            packed_ids: Their packed ids, joined.
        """
        index = self._indexes.get(value)
        if index is None:
            index = self._indexes[value] = len(self.values)
            self.values.append(value)
            self._unsorted.append(bytearray())
        unsorted = self._unsorted[index]
        unsorted += packed_ids
        if len(unsorted) >= _SORT_BATCH * SIZE:
            self._sort(index)
        self.size += len(packed_ids) // SIZE

    def _sort(self, index: int) -> None:
        """Move the unsorted ids of one value to their buckets."""
        ids = sorted(iter_ids(self._unsorted[index]))
        self._unsorted[index] = bytearray()
        for number, run in groupby(ids, _FIRST_BYTE):
            joined = b"".join(run)
            self._ids[number] += joined
            self._value_indexes[number].extend(repeat(index, len(joined) // SIZE))

    def sort(self) -> None:
        """Move all ids to their buckets; call this before `numbers` and `bucket`."""
        for index, unsorted in enumerate(self._unsorted):
            if unsorted:
                self._sort(index)

    def is_full(self, size: int) -> bool:
        """Return whether there are at least `size` tokens, or as many values as allowed."""
        return self.size >= size or len(self.values) >= MAX_VALUES

    @property
    def numbers(self) -> list[int]:
        """The numbers of the buckets that have tokens."""
        return [number for number, ids in enumerate(self._ids) if ids]

    def bucket(self, number: int) -> BucketIds:
        """Return the tokens of one bucket."""
        return BucketIds(self._ids[number], self._value_indexes[number])


class BucketIds:
    """The tokens of one bucket.

    Args:
        ids: Packed ids, joined.
        value_indexes: For each id the index of its value in `Slice.values`.
    """

    def __init__(self, ids: bytes | bytearray, value_indexes: array[int]) -> None:
        self._ids = ids
        self._value_indexes = value_indexes
        # The usual case, which needs no dict from ids to values.
        self._have_same_value = bool(value_indexes) and value_indexes.count(
            value_indexes[0]
        ) == len(value_indexes)

    def split(self, is_wanted: Sequence[bool]) -> tuple[set[bytes], int]:
        """Return the ids with a wanted value, and the number of the other ids.

        Args:
            is_wanted: For each index of a value, whether the value is wanted.
        """
        if self._have_same_value:
            ids = set(iter_ids(self._ids))
            return (ids, 0) if is_wanted[self._value_indexes[0]] else (set(), len(ids))
        index_of = self._index_by_id()
        wanted = {packed for packed, index in index_of.items() if is_wanted[index]}
        return wanted, len(index_of) - len(wanted)

    def by_value(self, ids: set[bytes]) -> Iterator[tuple[int, bytes]]:
        """Yield the index of a value with joined ids; an index may come more than once.

        Args:
            ids: Some ids of this bucket.
        """
        if self._have_same_value:
            yield self._value_indexes[0], b"".join(ids)
            return
        index_of = self._index_by_id()
        for packed in ids:
            yield index_of[packed], packed

    def _index_by_id(self) -> dict[bytes, int]:
        # A scan of Redis may return a key twice; the later value counts.
        return dict(zip(iter_ids(self._ids), self._value_indexes, strict=True))


class PendingDeletions:
    """The tokens to delete: packed ids, by bucket and by the value of the token."""

    def __init__(self) -> None:
        self._buckets: dict[int, dict[int, bytearray]] = {}
        self.size = 0
        """The number of tokens."""

    @property
    def numbers(self) -> list[int]:
        """The numbers of the buckets that have tokens to delete."""
        return list(self._buckets)

    def add(self, number: int, due: set[bytes], tokens: BucketIds) -> None:
        """Add tokens of one bucket; each is deleted only if its value is unchanged.

        Args:
            number: The number of the bucket.
            due: The ids to delete.
            tokens: The tokens of the bucket, which have the values.
        """
        if due:
            by_value = self._buckets.setdefault(number, {})
            for index, ids in tokens.by_value(due):
                by_value.setdefault(index, bytearray()).extend(ids)
            self.size += len(due)

    def batches(self, number: int, size: int) -> Iterator[tuple[int, bytes]]:
        """Yield the index of a value, and joined ids of tokens that have it.

        Args:
            number: The number of the bucket.
            size: The number of ids in a batch at most.
        """
        for index, ids in self._buckets[number].items():
            for start in range(0, len(ids), size * SIZE):
                yield index, bytes(ids[start : start + size * SIZE])
