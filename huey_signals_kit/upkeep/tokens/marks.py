"""When tokens were first found orphaned: stored in the kit's own data, for later sweeps.

A mark takes 16 bytes, the packed id. Ids that begin with the same byte stand in one value,
``huey-signals:marks:<two hex digits>``, in groups that have two moments in common: when they
were found orphaned for the first time, and which sweep has seen them last. A sweep that has
read all tokens drops the marks that it has not seen: those tokens are gone, and one that is
written anew under the same id begins anew.

A value that is not in this form counts as none, one that another process has replaced
meanwhile stops the sweep: lost marks delay deletions, and can never cause one.
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Iterator, Sequence

from ...store import KitStore
from .._ids import SIZE, each_of

BUCKETS = 256
AT_ONCE = 8
"""Buckets read in one round trip: some 500 kB where a million tokens are marked."""

PREFIX = "huey-signals:marks:"
_VERSION = b"1"
_SLOW = 0.002
_HEADER = struct.Struct(">ddI")
# Far more than ours ever are: half a million marks take as much, and sweeps every second a day.
_LARGEST = 16 * 1024 * 1024
_MOST_GROUPS = 100_000

Group = tuple[float, float]
"""When its ids were first found orphaned, and the sweep that has seen them last."""


class MarksReplaced(RuntimeError):
    """Another process has written marks while this one held the lease: it is too slow."""


class Bucket:
    """The marks of the ids that begin with one byte."""

    def __init__(self, number: int, raw: bytes | None) -> None:
        self._key = f"{PREFIX}{number:02x}"
        self._raw = raw
        self.groups = _read(raw)

    def add(self, group: Group, ids: set[bytes]) -> None:
        """Mark *ids*, which have no mark."""
        if ids:
            self.groups.setdefault(group, set()).update(ids)

    def remove(self, ids: set[bytes]) -> None:
        """Forget the marks of `ids`."""
        for marked in self.groups.values():
            marked -= ids

    @property
    def count(self) -> int:
        """How many ids are marked."""
        return sum(map(len, self.groups.values()))

    def save(self, store: KitStore) -> None:
        """Write what has changed, if nobody else has since it was read."""
        new = _write(self.groups) if self.count else None
        if new == self._raw:
            return
        start = time.monotonic()
        if self._raw is None:
            done = new is not None and store.put_if_absent(self._key, new)
        elif new is None:
            done = store.compare_and_delete(self._key, self._raw)
        else:
            done = store.compare_and_set(self._key, self._raw, new)
        took = time.monotonic() - start
        if took > _SLOW:  # a file with one writer at a time: others wait for their turn
            time.sleep(min(took, 0.1))
        if not done:
            raise MarksReplaced(f"another process has replaced {self._key!r} during this sweep")
        self._raw = new


def buckets(store: KitStore, numbers: Sequence[int]) -> Iterator[tuple[int, Bucket]]:
    """Each of *numbers* with its marks, `AT_ONCE` read in one round trip."""
    for start in range(0, len(numbers), AT_ONCE):
        some = numbers[start : start + AT_ONCE]
        values = store.get([f"{PREFIX}{number:02x}" for number in some])
        for number, raw in zip(some, values, strict=True):
            yield number, Bucket(number, raw)


def drop_unseen(store: KitStore, sweep: float) -> None:
    """Forget the marks that *sweep*, which has read all tokens, has not seen."""
    for _, bucket in buckets(store, range(BUCKETS)):
        bucket.groups = {key: ids for key, ids in bucket.groups.items() if key[1] == sweep}
        bucket.save(store)


def summary(store: KitStore) -> tuple[int, float | None]:
    """How many marks there are, and the moment of the oldest."""
    number, oldest = 0, math.inf
    for _, bucket in buckets(store, range(BUCKETS)):
        number += bucket.count
        oldest = min([oldest, *(first for first, _ in bucket.groups)])
    return number, oldest if number else None


def _write(groups: dict[Group, set[bytes]]) -> bytes:
    parts = [_VERSION]
    for (first, seen), ids in groups.items():
        if ids:
            parts.append(_HEADER.pack(first, seen, len(ids)))
            parts.extend(ids)
    return b"".join(parts)


def _read(raw: bytes | None) -> dict[Group, set[bytes]]:
    if raw is None or not raw.startswith(_VERSION) or len(raw) > _LARGEST:
        return {}
    groups: dict[Group, set[bytes]] = {}
    view, place = memoryview(raw), len(_VERSION)
    while place < len(raw):
        if len(raw) - place < _HEADER.size:
            return {}
        first, seen, count = _HEADER.unpack_from(raw, place)
        place += _HEADER.size
        ids = view[place : place + count * SIZE]
        if not len(ids) == count * SIZE > 0 or not math.isfinite(first):
            return {}
        groups.setdefault((first, seen), set()).update(each_of(ids))
        if len(groups) > _MOST_GROUPS:
            return {}
        place += len(ids)
    return groups
