"""What both layouts of results in Redis share: the queue, the schedule, reading by size."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from math import isfinite
from typing import Any

from ..protocol import BATCH_BYTES, LARGEST, Entry
from .batches import AdaptiveBatchSize, as_bytes, as_text, bounded, chunks, entry
from .redis_commands import sorted_set_page
from .redis_scripting import ScriptsRefused, run_script
from .redis_scripts import SORTED_SET, Part, unpacked

_PRIORITY = 8
"""What a priority queue puts before each message: the time in microseconds."""

SPACE = (LARGEST, BATCH_BYTES)
"""The first two arguments of a script that reads sizes first."""

AT_ONCE = 250
"""Keys for one script, which takes several times as long for each as a command."""


class RedisStore:
    """The base of both: a layout says how to scan keys and how to address them."""

    atomic = True

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    @property
    def newest_first(self) -> bool | None:
        """A list is; what a sorted set gives has no order."""
        return None if self._has_priorities else True

    @property
    def _has_priorities(self) -> bool:
        return bool(getattr(self._storage, "priority", False))

    def entries(self, prefix: str = "") -> Iterator[list[Entry]]:
        """By pages with the small values on them; the large ones then, as many as fit."""
        for pairs in self._pages(prefix):
            small = [entry(key, 0, value) for key, value in pairs if isinstance(value, bytes)]
            if small:
                yield small
            large = [key for key, size in pairs if isinstance(size, int)]
            while large:
                found, looked_at = self._measured(large)
                if found:
                    yield found
                large = large[looked_at:]

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """In the order of the scan; empty pages of it are passed over."""
        raise NotImplementedError

    def _pages(self, prefix: str) -> Iterator[list[tuple[str, Part]]]:
        """The same with what is under each key: the value, its size if it is large, or None."""
        raise NotImplementedError

    def _read(self, keys: Sequence[str]) -> list[Any]:
        """What the script that reads sizes first answers for *keys*."""
        raise NotImplementedError

    def _measured(self, keys: Sequence[str]) -> tuple[list[Entry], int]:
        *answers, looked_at = self._read(keys)
        sized = zip(keys, answers[::2], answers[1::2], strict=False)
        found = [
            entry(key, size, value)
            for key, size, value in sized
            if value is not None or size > LARGEST
        ]
        return found, looked_at

    def put(self, key: str, value: bytes) -> None:
        """As Huey does."""
        self._storage.put_data(as_bytes(key), value)

    def put_if_absent(self, key: str, value: bytes) -> bool:
        """As Huey does."""
        return bool(self._storage.put_if_empty(as_bytes(key), value))

    def delete(self, keys: Iterable[str]) -> int:
        """One command for each `BATCH`."""
        return sum(self._delete([as_bytes(key) for key in chunk]) for chunk in chunks(keys))

    def _delete(self, keys: list[bytes]) -> int:
        raise NotImplementedError

    def compare_and_delete(self, key: str, value: bytes) -> bool:
        """A script."""
        return bool(self.compare_and_delete_many([(key, value)]))

    def compare_and_delete_many(self, pairs: Iterable[tuple[str, bytes]]) -> list[str]:
        """A script for each value, with all its keys: most tokens and lock errors are alike."""
        deleted: list[str] = []
        for chunk in chunks(pairs, AT_ONCE):
            by_value: dict[bytes, list[str]] = {}
            for key, value in chunk:
                by_value.setdefault(value, []).append(key)
            for value, keys in by_value.items():
                # The script has all values before it that it compares.
                for some in chunks(dict.fromkeys(keys), max(1, BATCH_BYTES // (len(value) + 1))):
                    kept = set(self._delete_same(value, [as_bytes(key) for key in some]))
                    deleted += [key for place, key in enumerate(some) if place not in kept]
        return deleted

    def _delete_same(self, value: bytes, keys: list[bytes]) -> list[int]:
        """Delete those of *keys* that have *value*; the places of those that have another."""
        raise NotImplementedError

    def queued(self) -> Iterator[list[bytes]]:
        """A list, read from where new messages come: what is taken at its other end moves none.

        A new one moves the others along, so that some come twice. With priorities, a sorted set.
        """
        if self._has_priorities:
            for messages in self._sorted_set(self._storage.queue_key):
                yield [bounded(message[_PRIORITY:]) for message in messages]
            return
        pace, start = AdaptiveBatchSize(), 0
        while True:
            stop = start + pace.count - 1
            messages = self._storage.conn.lrange(self._storage.queue_key, start, stop)
            if not messages:
                return
            yield [bounded(message) for message in messages]
            pace.saw(len(messages), sum(map(len, messages)))
            start += len(messages)

    def scheduled(self) -> Iterator[list[bytes]]:
        """A sorted set."""
        for messages in self._sorted_set(self._storage.schedule_key):
            yield [bounded(message) for message in messages]

    def semaphores(
        self, prefix: str, names: Collection[str] | None = None
    ) -> Iterator[tuple[str, tuple[float, ...]]]:
        """Yield the names of Huey's semaphores, and how many seconds ago each slot was renewed.

        Each is a sorted set beside the storage's own keys; times are the server's.

        Args:
            prefix: The prefix of their keys.
            names: Only these semaphores, found without a scan of all keys.
        """
        connection, before = self._storage.conn, as_bytes(prefix)
        if names is None:
            keys = connection.scan_iter(match=pattern(before), count=AT_ONCE, _type="zset")
        else:
            given = [before + as_bytes(name) for name in names]
            keys = [key for key in given if connection.type(key) == b"zset"]
        for key in keys:
            seconds, micros = connection.time()
            slots = connection.zrange(key, 0, -1, withscores=True)
            now = seconds + micros / 1e6
            ages = sorted(now - moment for _, moment in slots if isfinite(moment))
            if ages:
                yield as_text(key[len(before) :]), tuple(ages)

    def _sorted_set(self, key: str) -> Iterator[list[bytes]]:
        # ZSCAN, not ranges: there what is taken before the range moves the others forward.
        pace: AdaptiveBatchSize = AdaptiveBatchSize(AT_ONCE)
        cursor: Any = b"0"
        while True:
            cursor, messages = self._sorted_set_page(key, cursor, pace.count)
            if messages:
                yield from chunks(messages)  # a page may be a little longer than asked for
                pace.saw(len(messages), sum(map(len, messages)))
            if int(cursor) == 0:
                return

    def _sorted_set_page(self, key: str, cursor: Any, count: int) -> tuple[Any, list[bytes]]:
        conn = self._storage.conn
        try:
            cursor, text, lengths, _ = run_script(conn, SORTED_SET, (key,), cursor, count)
        except ScriptsRefused:
            return sorted_set_page(conn, key, cursor, count)
        return cursor, [each for each in unpacked(text, lengths) if isinstance(each, bytes)]


def pattern(prefix: bytes) -> bytes:
    """What Redis' MATCH takes for the keys that begin with *prefix*."""
    return re.sub(rb"([*?\[\]\\^-])", rb"\\\1", prefix) + b"*"
