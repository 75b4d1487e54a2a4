"""``RedisStorage``, ``PriorityRedisStorage``: all results are fields of one hash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from . import _redis_scripts as scripts
from ._batches import Pace, as_bytes, as_text, chunks
from ._redis import AT_ONCE, SPACE, RedisStore, pattern


class RedisHashStore(RedisStore):
    """Pages of HSCAN; values, comparisons and deletions by the field."""

    name = "redis hash"
    _without_values = True
    """Whether the server can scan so, until it says that it cannot."""

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """One script for each page."""
        for keys, without in self._scan(scripts.HASH_KEYS, prefix, lambda: self._without_values):
            self._without_values = bool(without[0])
            yield from chunks(map(as_text, keys))

    def _pages(self, prefix: str) -> Iterator[list[tuple[str, scripts.Part]]]:
        for parts, _ in self._scan(scripts.HASH_PAIRS, prefix, lambda: scripts.SMALL):
            yield from chunks(zip(map(as_text, parts[::2]), parts[1::2], strict=True))

    def _scan(
        self, script: str, prefix: str, option: Callable[[], int]
    ) -> Iterator[tuple[list[scripts.Part], list[Any]]]:
        match, pace, cursor = pattern(as_bytes(prefix)), Pace(AT_ONCE), b"0"
        while True:
            args = (cursor, match, pace.count, int(option()))
            cursor, text, lengths, size, *more = self._eval(script, *args)
            pace.saw(pace.count, size)  # no less was looked at than was found
            yield scripts.unpacked(text, lengths), more
            if int(cursor) == 0:
                return

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """One HMGET."""
        fields = [as_bytes(key) for key in keys]
        return list(self._storage.conn.hmget(self._storage.result_key, fields)) if fields else []

    def replace_same(self, key: str, old: bytes, new: bytes) -> bool:
        """A script."""
        return bool(self._eval(scripts.HASH_REPLACE_SAME, as_bytes(key), old, new))

    def _read(self, keys: Sequence[str]) -> list[Any]:
        return list(self._eval(scripts.HASH_SIZES_FIRST, *SPACE, *map(as_bytes, keys)))

    def _delete(self, keys: list[bytes]) -> int:
        return int(self._storage.conn.hdel(self._storage.result_key, *keys))

    def _delete_same(self, value: bytes, keys: list[bytes]) -> list[int]:
        return list(self._eval(scripts.HASH_DELETE_SAME, value, *keys))

    def _eval(self, script: str, *args: Any) -> Any:
        return self._storage.conn.eval(script, 1, self._storage.result_key, *args)
