"""Store when tokens were first found orphaned, for later sweeps; and the same of results.

A sweep deletes a token only if an earlier sweep has found it orphaned too, so it must leave marks
for the next one, maybe a million. A mark is the packed id, 16 bytes; for a result it is a digest of
the same size (`results.purge`), and the keys begin with another prefix. The ids that begin with the
same byte are a bucket, which is one value in the kit's own data,
``huey-signals:marks:<two hex digits>``: 256 values can be read in a few round trips, and are small
enough to be replaced by compare-and-set. In a bucket the ids are in groups, so that the times are
stored once per group: when its ids were first found orphaned, and which sweep has seen them last.
A sweep that has read all tokens drops the marks that it has not seen, because those tokens are
gone; if a token is written again under the same id, its count starts again.

A value that is not in this form counts as empty. If another process has replaced a value meanwhile,
the sweep stops. So lost marks delay deletions, and can never cause one.
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Iterator, Sequence

from ...store import KitStore
from .._ids import SIZE, iter_ids

BUCKETS = 256
BUCKETS_PER_READ = 8
"""Buckets that are read in one round trip: about 500 kB where a million tokens are marked."""

PREFIX = "huey-signals:marks:"
_VERSION = b"1"
_SLOW_SECONDS = 0.002
_HEADER = struct.Struct(">ddI")
# Far more than a sweep writes: half a million marks take as much, and sweeps every second a day.
_MAX_BYTES = 16 * 1024 * 1024
_MAX_GROUPS = 100_000

Group = tuple[float, float]
"""The time when ids were first found orphaned, and the sweep that has seen them last."""


class MarksReplaced(RuntimeError):
    """The error of a sweep that has lost its lease: another process has written marks."""


class Bucket:
    """The marks of the ids that begin with one byte.

    Args:
        key: The key of its value.
        raw: The stored value, if there is one.
    """

    def __init__(self, key: str, raw: bytes | None) -> None:
        self._key = key
        self._raw = raw
        self.groups = _decode(raw)
        """The marked ids by group."""

    def add(self, group: Group, ids: set[bytes]) -> None:
        """Mark ids that have no mark."""
        if ids:
            self.groups.setdefault(group, set()).update(ids)

    def remove(self, ids: set[bytes]) -> None:
        """Remove the marks of some ids."""
        for marked in self.groups.values():
            marked -= ids

    @property
    def count(self) -> int:
        """The number of marked ids."""
        return sum(map(len, self.groups.values()))

    def save(self, store: KitStore) -> None:
        """Write the bucket, if it has changed.

        Raises:
            MarksReplaced: The stored value has changed since it was read.
        """
        new = _encode(self.groups) if self.count else None
        if new == self._raw:
            return
        start = time.monotonic()
        if self._raw is None:
            is_saved = new is not None and store.put_if_absent(self._key, new)
        elif new is None:
            is_saved = store.compare_and_delete(self._key, self._raw)
        else:
            is_saved = store.compare_and_set(self._key, self._raw, new)
        seconds = time.monotonic() - start
        if seconds > _SLOW_SECONDS:  # such as SQLite, which has one writer at a time: let others in
            time.sleep(min(seconds, 0.1))
        if not is_saved:
            raise MarksReplaced(f"another process has replaced {self._key!r} during this work")
        self._raw = new


def buckets(
    store: KitStore, numbers: Sequence[int], prefix: str = PREFIX
) -> Iterator[tuple[int, Bucket]]:
    """Yield buckets with their numbers; `BUCKETS_PER_READ` are read in one round trip.

    Args:
        store: The store of the kit's own data.
        numbers: The first bytes of the ids.
        prefix: The beginning of the keys.
    """
    for start in range(0, len(numbers), BUCKETS_PER_READ):
        chunk = numbers[start : start + BUCKETS_PER_READ]
        keys = [f"{prefix}{number:02x}" for number in chunk]
        for number, key, raw in zip(chunk, keys, store.get(keys), strict=True):
            yield number, Bucket(key, raw)


def drop_unseen(store: KitStore, sweep: float, prefix: str = PREFIX) -> None:
    """Remove all marks that a sweep has not seen.

    Args:
        store: The store of the kit's own data.
        sweep: The sweep, which must have read everything.
        prefix: The beginning of the keys.
    """
    for _, bucket in buckets(store, range(BUCKETS), prefix):
        bucket.groups = {group: ids for group, ids in bucket.groups.items() if group[1] == sweep}
        bucket.save(store)


def summary(store: KitStore, prefix: str = PREFIX) -> tuple[int, float | None]:
    """Return the number of marks, and the time of the oldest one, if there is one."""
    count, oldest = 0, math.inf
    for _, bucket in buckets(store, range(BUCKETS), prefix):
        count += bucket.count
        oldest = min([oldest, *(first for first, _ in bucket.groups)])
    return count, oldest if count else None


def _encode(groups: dict[Group, set[bytes]]) -> bytes:
    parts = [_VERSION]
    for (first, seen), ids in groups.items():
        if ids:
            parts.append(_HEADER.pack(first, seen, len(ids)))
            parts.extend(ids)
    return b"".join(parts)


def _decode(raw: bytes | None) -> dict[Group, set[bytes]]:
    """Return the groups in a stored value; none if it is not in this form."""
    if raw is None or not raw.startswith(_VERSION) or len(raw) > _MAX_BYTES:
        return {}
    groups: dict[Group, set[bytes]] = {}
    view, offset = memoryview(raw), len(_VERSION)
    while offset < len(raw):
        if len(raw) - offset < _HEADER.size:
            return {}
        first, seen, count = _HEADER.unpack_from(raw, offset)
        offset += _HEADER.size
        ids = view[offset : offset + count * SIZE]
        if not len(ids) == count * SIZE > 0 or not math.isfinite(first):
            return {}
        groups.setdefault((first, seen), set()).update(iter_ids(ids))
        if len(groups) > _MAX_GROUPS:
            return {}
        offset += len(ids)
    return groups
