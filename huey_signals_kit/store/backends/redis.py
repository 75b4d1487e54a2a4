"""The part of the Redis backends that does not depend on how results are laid out.

A server is blocked for as long as one command or script runs, so each reads a bounded number of
keys, and the size of large values is read before the values are. Small values come with the page of
keys that they are on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from math import isfinite
from typing import Any

from ..protocol import BATCH_BYTES, LARGEST, Entry
from .batches import AdaptiveBatchSize, as_bytes, as_text, chunks, empty_if_large, make_entry
from .redis_commands import sorted_set_page
from .redis_scripting import ScriptsRefused, run_script
from .redis_scripts import SORTED_SET_PAGE, ValueOrSize, unpack

_PRIORITY_BYTES = 8
"""Bytes that a priority queue puts before each message: the time in microseconds."""

SIZE_LIMITS = (LARGEST, BATCH_BYTES)
"""The first two arguments of a script that reads sizes first."""

SCRIPT_BATCH = 250
"""Keys in one script. A script takes several times as long for each key as a single command."""


class RedisStore:
    """A `Store` on Redis. A subclass knows how to scan, read and delete keys of one layout."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    @property
    def newest_first(self) -> bool | None:
        """True for a list; a sorted set, for priorities, is read in no order."""
        return None if self._has_priorities else True

    @property
    def _has_priorities(self) -> bool:
        return bool(getattr(self._storage, "priority", False))

    def entries(self, prefix: str = "") -> Iterator[list[Entry]]:
        """Yield entries: a page with its small values, then its large values, as many as fit."""
        for pairs in self._pages(prefix):
            small = [make_entry(key, 0, value) for key, value in pairs if isinstance(value, bytes)]
            if small:
                yield small
            large = [key for key, size in pairs if isinstance(size, int)]
            while large:
                entries, read = self._large_entries(large)
                if entries:
                    yield entries
                large = large[read:]

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """Yield the keys of each page of the scan, even of an empty page."""
        raise NotImplementedError

    def _pages(self, prefix: str) -> Iterator[list[tuple[str, ValueOrSize]]]:
        """Yield keys with their values, with the size of a large value, or with None."""
        raise NotImplementedError

    def _read_sizes_first(self, keys: Sequence[str]) -> list[Any]:
        """Return size and value of each key, as many as fit, then the number of keys read."""
        raise NotImplementedError

    def _large_entries(self, keys: Sequence[str]) -> tuple[list[Entry], int]:
        """Return the entries of the first keys, as many as fit, and the number of keys read."""
        *answers, read = self._read_sizes_first(keys)
        rows = zip(keys, answers[::2], answers[1::2], strict=False)
        entries = [
            make_entry(key, size, value)
            for key, size, value in rows
            if value is not None or size > LARGEST
        ]
        return entries, read

    def delete(self, keys: Iterable[str]) -> int:
        """Delete the keys, one command for each batch."""
        return sum(self._delete([as_bytes(key) for key in chunk]) for chunk in chunks(keys))

    def _delete(self, keys: list[bytes]) -> int:
        raise NotImplementedError

    def compare_and_delete(self, key: str, value: bytes) -> bool:
        """Delete the key if it has this value."""
        return bool(self.compare_and_delete_many([(key, value)]))

    def compare_and_delete_many(self, pairs: Iterable[tuple[str, bytes]]) -> list[str]:
        """Delete the pairs; return the deleted keys.

        If many values are equal, as of tokens and lock errors, one script compares many keys with
        one value; else each script gets keys with their values.
        """
        deleted: list[str] = []
        for given in chunks(pairs, SCRIPT_BATCH):
            chunk = list(dict.fromkeys(given))
            if len({value for _, value in chunk}) > len(chunk) // 2:
                for some in _of_bounded_size(chunk):
                    deleted += self._compare_and_delete_all([value for _, value in some], some)
                continue
            by_value: dict[bytes, list[tuple[str, bytes]]] = {}
            for pair in chunk:
                by_value.setdefault(pair[1], []).append(pair)
            for value, equal in by_value.items():
                # The script loads the values of all its keys, which may be as large as this one.
                for some in chunks(equal, max(1, BATCH_BYTES // (len(value) + 1))):
                    deleted += self._compare_and_delete_all([value], some)
        return deleted

    def _compare_and_delete_all(
        self, values: list[bytes], pairs: list[tuple[str, bytes]]
    ) -> list[str]:
        kept = set(self._compare_and_delete(values, [as_bytes(key) for key, _ in pairs]))
        return [key for index, (key, _) in enumerate(pairs) if index not in kept]

    def _compare_and_delete(self, values: list[bytes], keys: list[bytes]) -> list[int]:
        """Delete the keys that have their value; return the positions of the others.

        Args:
            values: The value of all keys, or one value for each key.
            keys: The keys, each only once.
        """
        raise NotImplementedError

    def queued(self) -> Iterator[list[bytes]]:
        """Yield the messages of the queue.

        A list is read from the end at which messages are added. Workers take messages from the
        other end, which moves none of the others; a message that is added moves all others along,
        so that some are read twice, but none is missed. With priorities the queue is a sorted set.
        """
        if self._has_priorities:
            for messages in self._sorted_set(self._storage.queue_key):
                yield [empty_if_large(message[_PRIORITY_BYTES:]) for message in messages]
            return
        batch_size, start = AdaptiveBatchSize(), 0
        while True:
            stop = start + batch_size.count - 1
            messages = self._storage.conn.lrange(self._storage.queue_key, start, stop)
            if not messages:
                return
            yield [empty_if_large(message) for message in messages]
            batch_size.update(len(messages), sum(map(len, messages)))
            start += len(messages)

    def scheduled(self) -> Iterator[list[bytes]]:
        """Yield the messages of the schedule, a sorted set."""
        for messages in self._sorted_set(self._storage.schedule_key):
            yield [empty_if_large(message) for message in messages]

    def queue_ends(self) -> list[bytes]:
        """Return the first and the last message, in one round trip."""
        key, pipeline = self._storage.queue_key, self._storage.conn.pipeline(transaction=False)
        if self._has_priorities:
            first, last = pipeline.zrange(key, 0, 0).zrange(key, -1, -1).execute()
            return [message[_PRIORITY_BYTES:] for message in (*first, *last)]
        messages = pipeline.lindex(key, -1).lindex(key, 0).execute()
        return [message for message in messages if message is not None]

    def next_scheduled(self) -> bytes | None:
        """Return the message with the lowest score."""
        return next(iter(self._storage.conn.zrange(self._storage.schedule_key, 0, 0)), None)

    def semaphores(
        self, prefix: str, names: Collection[str] | None = None
    ) -> Iterator[tuple[str, tuple[float, ...]]]:
        """Yield the names of Huey's semaphores, and how many seconds ago each slot was renewed.

        A semaphore is a sorted set beside the storage's own keys. Ages are computed with the
        server's clock.

        Args:
            prefix: The prefix of their keys.
            names: Only these semaphores, found without a scan of all keys.
        """
        connection, raw_prefix = self._storage.conn, as_bytes(prefix)
        if names is None:
            pattern = prefix_pattern(raw_prefix)
            keys = connection.scan_iter(match=pattern, count=SCRIPT_BATCH, _type="zset")
        else:
            named = [raw_prefix + as_bytes(name) for name in names]
            keys = [key for key in named if connection.type(key) == b"zset"]
        for key in keys:
            seconds, microseconds = connection.time()
            slots = connection.zrange(key, 0, -1, withscores=True)
            now = seconds + microseconds / 1e6
            ages = sorted(now - renewed for _, renewed in slots if isfinite(renewed))
            if ages:
                yield as_text(key[len(raw_prefix) :]), tuple(ages)

    def _sorted_set(self, key: str) -> Iterator[list[bytes]]:
        # By ZSCAN. With ZRANGE, a message that is taken from before the range would move the
        # others forward, and some would be missed.
        batch_size: AdaptiveBatchSize = AdaptiveBatchSize(SCRIPT_BATCH)
        cursor: Any = b"0"
        while True:
            cursor, messages = self._sorted_set_page(key, cursor, batch_size.count)
            if messages:
                yield from chunks(messages)  # a page may be longer than the count
                batch_size.update(len(messages), sum(map(len, messages)))
            if int(cursor) == 0:
                return

    def _sorted_set_page(self, key: str, cursor: Any, count: int) -> tuple[Any, list[bytes]]:
        conn = self._storage.conn
        try:
            cursor, text, lengths, _ = run_script(conn, SORTED_SET_PAGE, (key,), cursor, count)
        except ScriptsRefused:
            return sorted_set_page(conn, key, cursor, count)
        return cursor, [part for part in unpack(text, lengths) if isinstance(part, bytes)]


def _of_bounded_size(pairs: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    """Yield the pairs in lists whose values have up to `BATCH_BYTES` together."""
    some: list[tuple[str, bytes]] = []
    room = BATCH_BYTES
    for pair in pairs:
        size = len(pair[1])
        if some and size > room:
            yield some
            some, room = [], BATCH_BYTES
        some.append(pair)
        room -= size
    if some:
        yield some


def prefix_pattern(prefix: bytes) -> bytes:
    """Return the MATCH pattern of Redis for keys that begin with `prefix`."""
    return re.sub(rb"([*?\[\]\\^-])", rb"\\\1", prefix) + b"*"
