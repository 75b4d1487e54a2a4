"""Some tokens, read and not yet judged: 20 bytes each, sorted by how their ids begin."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import groupby, repeat
from operator import itemgetter

from .._ids import SIZE, each_of
from .marks import BUCKETS

MOST_VALUES = 50_000
"""Different values that one slice holds; nearly all tokens have one of two."""

_SORTED_AT_ONCE = 4096
_FIRST_BYTE = itemgetter(0)


class Slice:
    """Packed ids by bucket, and for each of them which value its token had."""

    def __init__(self, began: float) -> None:
        self.began = began
        """When its first token was about to be read."""
        self.size = 0
        self.values: list[bytes] = []
        self._live_ids: dict[bytes, int] = {}
        self._unsorted: list[bytearray] = []
        self._ids = [bytearray() for _ in range(BUCKETS)]
        self._value_of = [array("I") for _ in range(BUCKETS)]

    def add(self, value: bytes, packed_ids: bytes) -> None:
        """Tokens that had *value* when they were read."""
        place = self._live_ids.get(value)
        if place is None:
            place = self._live_ids[value] = len(self.values)
            self.values.append(value)
            self._unsorted.append(bytearray())
        unsorted = self._unsorted[place]
        unsorted += packed_ids
        if len(unsorted) >= _SORTED_AT_ONCE * SIZE:
            self._sort(place)
        self.size += len(packed_ids) // SIZE

    def _sort(self, place: int) -> None:
        ids = sorted(each_of(self._unsorted[place]))
        self._unsorted[place] = bytearray()
        for number, run in groupby(ids, _FIRST_BYTE):
            joined = b"".join(run)
            self._ids[number] += joined
            self._value_of[number].extend(repeat(place, len(joined) // SIZE))

    def sort(self) -> None:
        """All that was added is in its bucket from here on."""
        for place, unsorted in enumerate(self._unsorted):
            if unsorted:
                self._sort(place)

    def is_full(self, size: int) -> bool:
        """Whether it has *size* tokens, or as many values as it may."""
        return self.size >= size or len(self.values) >= MOST_VALUES

    @property
    def numbers(self) -> list[int]:
        """The buckets that have any, once it is sorted."""
        return [number for number, ids in enumerate(self._ids) if ids]

    def bucket(self, number: int) -> BucketIds:
        """The ids in a bucket."""
        return BucketIds(self._ids[number], self._value_of[number])


class BucketIds:
    """Some packed ids, each with the place of its value in `Slice.values`."""

    def __init__(self, ids: bytes | bytearray, places: array[int]) -> None:
        self._ids = ids
        self._live_ids = places
        self._alike = bool(places) and places.count(places[0]) == len(places)

    def split(self, wanted: Sequence[bool]) -> tuple[set[bytes], int]:
        """Those whose value is one of the *wanted* places, and how many others there are."""
        if self._alike:
            ids = set(each_of(self._ids))
            return (ids, 0) if wanted[self._live_ids[0]] else (set(), len(ids))
        value_of = self._value_of()
        found = {each for each, place in value_of.items() if wanted[place]}
        return found, len(value_of) - len(found)

    def by_value(self, ids: set[bytes]) -> Iterator[tuple[int, bytes]]:
        """Those of *ids*, by the place of their value, one after the other."""
        if self._alike:
            yield self._live_ids[0], b"".join(ids)
            return
        value_of = self._value_of()
        for each in ids:
            yield value_of[each], each

    def _value_of(self) -> dict[bytes, int]:
        # One that was read twice, by a scan that passes it again, has the later value.
        return dict(zip(each_of(self._ids), self._live_ids, strict=True))


class PendingDeletions:
    """The tokens to delete: packed ids, by bucket and by the value of the token."""

    def __init__(self) -> None:
        self._buckets: dict[int, dict[int, bytearray]] = {}
        self.size = 0

    @property
    def numbers(self) -> list[int]:
        """The numbers of the buckets that have tokens to delete."""
        return list(self._buckets)

    def add(self, number: int, due: set[bytes], bunch: BucketIds) -> None:
        """Add the `due` tokens of `bunch`; each is deleted only if its value is unchanged."""
        if due:
            by_value = self._buckets.setdefault(number, {})
            for place, ids in bunch.by_value(due):
                by_value.setdefault(place, bytearray()).extend(ids)
            self.size += len(due)

    def batches(self, number: int, size: int) -> Iterator[tuple[int, bytes]]:
        """Yield the place of a value, and up to `size` packed ids of the bucket that have it."""
        for place, ids in self._buckets[number].items():
            for start in range(0, len(ids), size * SIZE):
                yield place, bytes(ids[start : start + size * SIZE])
