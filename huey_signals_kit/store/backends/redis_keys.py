"""The backend for ``RedisExpireStorage`` and ``PriorityRedisExpireStorage``.

Each result is a Redis key of its own. A scan passes over every key of the database, also those of
other programs, and finds keys of the queue ``a.b`` as keys of the queue ``a``: see
`Keys.is_of_this_queue`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from . import redis_commands as commands
from . import redis_scripts as scripts
from .batches import AdaptiveBatchSize, as_bytes, as_text, chunks
from .redis import SCRIPT_BATCH, SIZE_LIMITS, RedisStore, prefix_pattern
from .redis_scripting import Script, ScriptsRefused, run_script


class RedisKeysStore(RedisStore):
    """A `Store` with pages of SCAN and values by MGET."""

    name = "redis keys"

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """Yield the keys of each page of SCAN, even of an empty page."""
        result_prefix = self._storage.result_prefix
        match, cursor = prefix_pattern(result_prefix + as_bytes(prefix)), 0
        while True:
            cursor, keys = self._storage.conn.scan(cursor, match=match, count=SCRIPT_BATCH)
            yield [as_text(key[len(result_prefix) :]) for key in keys]
            if not cursor:
                return

    def _pages(self, prefix: str) -> Iterator[list[tuple[str, scripts.ValueOrSize]]]:
        result_prefix, cursor = self._storage.result_prefix, b"0"
        batch_size = AdaptiveBatchSize(SCRIPT_BATCH)
        match = prefix_pattern(result_prefix + as_bytes(prefix))
        while True:
            args = (cursor, match, batch_size.count, scripts.SMALL)
            try:
                cursor, text, lengths, size = self._run(scripts.SCAN_PAGE, (), *args)
            except Exception as exc:
                name = type(exc).__name__  # this package does not import redis
                if cursor != b"0" or name not in ("ScriptsRefused", "ResponseError"):
                    raise
                # The server runs no scripts, or lets a script read only the keys in KEYS.
                yield from self._pages_by_keys(prefix)
                return
            batch_size.update(batch_size.count, size)
            parts = scripts.unpack(text, lengths)
            keys = (
                as_text(key[len(result_prefix) :]) for key in parts[::2] if isinstance(key, bytes)
            )
            yield from chunks(zip(keys, parts[1::2], strict=True))
            if int(cursor) == 0:
                return

    def _pages_by_keys(self, prefix: str) -> Iterator[list[tuple[str, scripts.ValueOrSize]]]:
        """Yield the same as `_pages`, with a SCAN for the keys and a second call for the values."""
        batch_size = AdaptiveBatchSize(SCRIPT_BATCH)
        for keys in self.keys(prefix):
            start = 0
            while some := keys[start : start + batch_size.count]:
                start += len(some)
                parts, size = self._values(self._redis_keys(some))
                batch_size.update(len(some), size)
                yield list(zip(some, parts, strict=True))

    def _values(self, redis_keys: list[bytes]) -> tuple[list[scripts.ValueOrSize], int]:
        """Return the values of the keys, or the sizes of large values, and the size of all."""
        try:
            _, text, lengths, size = self._run(scripts.VALUES, redis_keys, scripts.SMALL)
        except ScriptsRefused:
            return commands.values(self._storage.conn, redis_keys)
        return scripts.unpack(text, lengths), size

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values, by MGET."""
        return list(self._storage.conn.mget(self._redis_keys(keys))) if keys else []

    def compare_and_set(self, key: str, old: bytes, new: bytes) -> bool:
        """Write `new` if the value is `old`."""
        (redis_key,) = self._redis_keys([key])
        try:
            return bool(self._run(scripts.KEYS_COMPARE_AND_SET, [redis_key], old, new))
        except ScriptsRefused:
            return commands.keys_compare_and_set(self._storage.conn, redis_key, old, new)

    def _read_sizes_first(self, keys: Sequence[str]) -> list[Any]:
        redis_keys = self._redis_keys(keys)
        try:
            return list(self._run(scripts.KEYS_SIZES_FIRST, redis_keys, *SIZE_LIMITS))
        except ScriptsRefused:
            return commands.keys_sizes_first(self._storage.conn, redis_keys)

    def _delete(self, keys: list[bytes]) -> int:
        return int(self._storage.conn.delete(*map(self._storage.result_key, keys)))

    def _compare_and_delete(self, values: list[bytes], keys: list[bytes]) -> list[int]:
        redis_keys = [self._storage.result_prefix + key for key in keys]
        try:
            args = (len(values), *values)
            return list(self._run(scripts.KEYS_COMPARE_AND_DELETE, redis_keys, *args))
        except ScriptsRefused:
            return commands.keys_compare_and_delete(self._storage.conn, values, redis_keys)

    def _run(self, script: Script, redis_keys: Sequence[bytes], *args: Any) -> Any:
        return run_script(self._storage.conn, script, redis_keys, *args)

    def _redis_keys(self, keys: Sequence[str]) -> list[bytes]:
        return [self._storage.result_prefix + as_bytes(key) for key in keys]
