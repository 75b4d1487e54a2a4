"""Hold the results that a purge works on, in 36 bytes each, sorted by how their marks begin.

A row is the mark of a result, its packed id and the size of its value. The values stay in the
store: those of due results are read again before they are deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from struct import Struct

from ..tokens.marks import BUCKETS

_MARK_AND_REST = Struct("16s20s")
_ROW = Struct(">16s16sI")
_SORT_BATCH = 4096
_FIRST_BYTE = itemgetter(0)

Row = tuple[bytes, bytes, int]
"""A mark, a packed id, and the bytes of the value."""
Rows = dict[bytes, bytes]
"""For each mark, the rest of its row, which begins with the packed id."""


class _Buckets:
    """Packed rows by the first byte of their marks."""

    def __init__(self) -> None:
        self.size = 0
        """The number of rows."""
        self._rows = [bytearray() for _ in range(BUCKETS)]

    @property
    def numbers(self) -> list[int]:
        """The numbers of the buckets that have rows."""
        return [number for number, rows in enumerate(self._rows) if rows]


class ResultSlice(_Buckets):
    """Results that are decided together.

    Args:
        started: When the purge began to read these results, in seconds since the epoch.
    """

    def __init__(self, started: float) -> None:
        super().__init__()
        self.started = started
        self._unsorted: list[bytes] = []

    def add(self, mark: bytes, packed_id: bytes, size: int) -> None:
        """Add a result.

        Args:
            mark: The digest of its id and its value.
            packed_id: The packed id.
            size: The bytes of the value.
        """
        self._unsorted.append(_ROW.pack(mark, packed_id, size))
        self.size += 1
        if len(self._unsorted) >= _SORT_BATCH:
            self.sort()

    def sort(self) -> None:
        """Move all rows to their buckets; call this before `numbers` and `bucket`."""
        self._unsorted.sort()
        for number, rows in groupby(self._unsorted, _FIRST_BYTE):
            self._rows[number] += b"".join(rows)
        self._unsorted = []

    def bucket(self, number: int) -> Rows:
        """Return the rows of one bucket."""
        return dict(_MARK_AND_REST.iter_unpack(self._rows[number]))


class DueResults(_Buckets):
    """The results to delete."""

    def add(self, number: int, due: set[bytes], rows: Rows) -> None:
        """Add results of one bucket.

        Args:
            number: The number of the bucket.
            due: The marks of the results to delete.
            rows: The rows of the bucket.
        """
        self._rows[number] += b"".join([mark + rows[mark] for mark in due])
        self.size += len(due)

    def batches(self, number: int, max_count: int, max_bytes: int) -> Iterator[list[Row]]:
        """Yield the results of a bucket.

        Args:
            number: The number of the bucket.
            max_count: The maximum number of results in a batch.
            max_bytes: The maximum bytes of their values; a batch has at least one result.
        """
        batch: list[Row] = []
        room = max_bytes
        for row in _ROW.iter_unpack(self._rows[number]):
            size = row[2]
            if batch and (size > room or len(batch) == max_count):
                yield batch
                batch, room = [], max_bytes
            batch.append(row)
            room -= size
        if batch:
            yield batch
