"""``RedisStorage``, ``PriorityRedisStorage``: all results are fields of one hash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from . import redis_commands as plain
from . import redis_scripts as scripts
from .batches import AdaptiveBatchSize, as_bytes, as_text, chunks
from .redis import AT_ONCE, SPACE, RedisStore, pattern
from .redis_scripting import Script, ScriptsRefused, run_script

_Page = tuple[Any, Sequence[Any], list[scripts.Part], int]
"""The cursor, the fields, their values (if requested), and the size of all in bytes."""


class RedisHashStore(RedisStore):
    """Pages of HSCAN; values, comparisons and deletions by the field."""

    name = "redis hash"
    _without_values = True
    """Whether the server can scan so, until it says that it cannot."""

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """One script for each page."""
        for page in self.key_pages(prefix):
            yield from chunks(page)

    def key_pages(self, prefix: str) -> Iterator[list[str]]:
        """Yield the fields of each page of HSCAN, even of an empty page."""
        for keys, _ in self._scan(prefix, self._keys_page):
            yield list(map(as_text, keys))

    def _pages(self, prefix: str) -> Iterator[list[tuple[str, scripts.Part]]]:
        for keys, parts in self._scan(prefix, self._pairs_page):
            yield from chunks(zip(map(as_text, keys), parts, strict=True))

    def _scan(
        self, prefix: str, read: Callable[[Any, bytes, int], _Page]
    ) -> Iterator[tuple[Sequence[Any], list[scripts.Part]]]:
        match, pace = pattern(as_bytes(prefix)), AdaptiveBatchSize(AT_ONCE)
        cursor: Any = b"0"
        while True:
            try:
                cursor, keys, parts, size = read(cursor, match, pace.count)
            except ScriptsRefused:
                conn, name = self._place
                cursor, keys, parts, size = plain.hash_page(conn, name, cursor, match, pace.count)
            pace.saw(pace.count, size)  # no less was looked at than was found
            yield keys, parts
            if int(cursor) == 0:
                return

    def _keys_page(self, cursor: Any, match: bytes, count: int) -> _Page:
        args = cursor, match, count, int(self._without_values)
        cursor, text, lengths, size, without_values = self._run(scripts.HASH_KEYS, *args)
        self._without_values = bool(without_values)
        return cursor, scripts.unpacked(text, lengths), [], size

    def _pairs_page(self, cursor: Any, match: bytes, count: int) -> _Page:
        args = cursor, match, count, scripts.SMALL
        cursor, text, lengths, size = self._run(scripts.HASH_PAIRS, *args)
        parts = scripts.unpacked(text, lengths)
        return cursor, parts[::2], parts[1::2], size

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """One HMGET."""
        fields = [as_bytes(key) for key in keys]
        return list(self._storage.conn.hmget(self._storage.result_key, fields)) if fields else []

    def compare_and_set(self, key: str, old: bytes, new: bytes) -> bool:
        """A script."""
        field = as_bytes(key)
        try:
            return bool(self._run(scripts.HASH_REPLACE_SAME, field, old, new))
        except ScriptsRefused:
            return plain.hash_compare_and_set(*self._place, field, old, new)

    def _read(self, keys: Sequence[str]) -> list[Any]:
        fields = [as_bytes(key) for key in keys]
        try:
            return list(self._run(scripts.HASH_SIZES_FIRST, *SPACE, *fields))
        except ScriptsRefused:
            return plain.hash_sizes_first(*self._place, fields)

    def _delete(self, keys: list[bytes]) -> int:
        return int(self._storage.conn.hdel(self._storage.result_key, *keys))

    def _delete_same(self, value: bytes, keys: list[bytes]) -> list[int]:
        try:
            return list(self._run(scripts.HASH_DELETE_SAME, value, *keys))
        except ScriptsRefused:
            return plain.hash_compare_and_delete(*self._place, value, keys)

    @property
    def _place(self) -> tuple[Any, str]:
        return self._storage.conn, self._storage.result_key

    def _run(self, script: Script, *args: Any) -> Any:
        return run_script(self._storage.conn, script, (self._storage.result_key,), *args)
