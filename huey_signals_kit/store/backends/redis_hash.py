"""The backend for ``RedisStorage`` and ``PriorityRedisStorage``: results are fields of one hash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from . import redis_commands as commands
from . import redis_scripts as scripts
from .batches import AdaptiveBatchSize, as_bytes, as_text, chunks
from .redis import SCRIPT_BATCH, SIZE_LIMITS, RedisStore, prefix_pattern
from .redis_scripting import Script, ScriptsRefused, run_script

_Page = tuple[Any, Sequence[Any], list[scripts.ValueOrSize], int]
"""The cursor, the fields, their values (if requested), and the size of all in bytes."""


class RedisHashStore(RedisStore):
    """A `Store` with pages of HSCAN and values by HMGET."""

    name = "redis hash"
    _can_scan_without_values = True
    """Whether the server has ``HSCAN NOVALUES``; assumed until a page shows that it has not."""

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """Yield the fields of each page of HSCAN, even of an empty page."""
        for fields, _ in self._scan(prefix, self._keys_page):
            yield list(map(as_text, fields))

    def _pages(self, prefix: str) -> Iterator[list[tuple[str, scripts.ValueOrSize]]]:
        for fields, parts in self._scan(prefix, self._entries_page):
            yield from chunks(zip(map(as_text, fields), parts, strict=True))

    def _scan(
        self, prefix: str, read_page: Callable[[Any, bytes, int], _Page]
    ) -> Iterator[tuple[Sequence[Any], list[scripts.ValueOrSize]]]:
        match, batch_size = prefix_pattern(as_bytes(prefix)), AdaptiveBatchSize(SCRIPT_BATCH)
        cursor: Any = b"0"
        while True:
            count = batch_size.count
            try:
                cursor, fields, parts, size = read_page(cursor, match, count)
            except ScriptsRefused:
                page = commands.hash_page(*self._client_and_key, cursor, match, count)
                cursor, fields, parts, size = page
            # By the count, not by the fields: the server looks at fields that do not match, too.
            batch_size.update(count, size)
            yield fields, parts
            if int(cursor) == 0:
                return

    def _keys_page(self, cursor: Any, match: bytes, count: int) -> _Page:
        args = cursor, match, count, int(self._can_scan_without_values)
        cursor, text, lengths, size, was_without_values = self._run(scripts.HASH_KEYS_PAGE, *args)
        self._can_scan_without_values = bool(was_without_values)
        return cursor, scripts.unpack(text, lengths), [], size

    def _entries_page(self, cursor: Any, match: bytes, count: int) -> _Page:
        args = cursor, match, count, scripts.SMALL
        cursor, text, lengths, size = self._run(scripts.HASH_PAGE, *args)
        parts = scripts.unpack(text, lengths)
        return cursor, parts[::2], parts[1::2], size

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values, by HMGET."""
        fields = [as_bytes(key) for key in keys]
        return list(self._storage.conn.hmget(self._storage.result_key, fields)) if fields else []

    def compare_and_set(self, key: str, old: bytes, new: bytes) -> bool:
        """Write `new` if the value is `old`."""
        field = as_bytes(key)
        try:
            return bool(self._run(scripts.HASH_COMPARE_AND_SET, field, old, new))
        except ScriptsRefused:
            return commands.hash_compare_and_set(*self._client_and_key, field, old, new)

    def _read_sizes_first(self, keys: Sequence[str]) -> list[Any]:
        fields = [as_bytes(key) for key in keys]
        try:
            return list(self._run(scripts.HASH_SIZES_FIRST, *SIZE_LIMITS, *fields))
        except ScriptsRefused:
            return commands.hash_sizes_first(*self._client_and_key, fields)

    def _delete(self, keys: list[bytes]) -> int:
        return int(self._storage.conn.hdel(self._storage.result_key, *keys))

    def _compare_and_delete(self, values: list[bytes], keys: list[bytes]) -> list[int]:
        try:
            args = (len(values), *values, *keys)
            return list(self._run(scripts.HASH_COMPARE_AND_DELETE, *args))
        except ScriptsRefused:
            return commands.hash_compare_and_delete(*self._client_and_key, values, keys)

    @property
    def _client_and_key(self) -> tuple[Any, str]:
        return self._storage.conn, self._storage.result_key

    def _run(self, script: Script, *args: Any) -> Any:
        return run_script(self._storage.conn, script, (self._storage.result_key,), *args)
