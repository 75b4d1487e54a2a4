"""``RedisExpireStorage``, ``PriorityRedisExpireStorage``: each result is a key of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from . import redis_commands as plain
from . import redis_scripts as scripts
from .batches import AdaptiveBatchSize, as_bytes, as_text, chunks
from .redis import AT_ONCE, SPACE, RedisStore, pattern
from .redis_scripting import Script, ScriptsRefused, run_script


class RedisKeysStore(RedisStore):
    """Pages of SCAN, which passes over all that the database holds; values by MGET.

    What a queue ``a.b`` has is also found as that of a queue ``a``: see `Keys.is_ours`.
    """

    name = "redis keys"

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """One SCAN for each page."""
        for page in self.key_pages(prefix):
            yield from chunks(page)

    def key_pages(self, prefix: str) -> Iterator[list[str]]:
        """Yield the keys of each page of SCAN, even of an empty page."""
        ours = self._storage.result_prefix
        match, cursor = pattern(ours + as_bytes(prefix)), 0
        while True:
            cursor, keys = self._storage.conn.scan(cursor, match=match, count=AT_ONCE)
            yield [as_text(key[len(ours) :]) for key in keys]
            if not cursor:
                return

    def _pages(self, prefix: str) -> Iterator[list[tuple[str, scripts.Part]]]:
        ours, pace, cursor = self._storage.result_prefix, AdaptiveBatchSize(AT_ONCE), b"0"
        match = pattern(ours + as_bytes(prefix))
        while True:
            args = (cursor, match, pace.count, scripts.SMALL)
            try:
                cursor, text, lengths, size = self._run(scripts.SCANNED_PAIRS, (), *args)
            except Exception as exc:
                refused = isinstance(exc, ScriptsRefused) or type(exc).__name__ == "ResponseError"
                if cursor != b"0" or not refused:
                    raise
                # Also if the server lets a script read only the keys in KEYS.
                yield from self._named_pages(prefix)
                return
            pace.saw(pace.count, size)
            parts = scripts.unpacked(text, lengths)
            keys = (as_text(key[len(ours) :]) for key in parts[::2] if isinstance(key, bytes))
            yield from chunks(zip(keys, parts[1::2], strict=True))
            if int(cursor) == 0:
                return

    def _named_pages(self, prefix: str) -> Iterator[list[tuple[str, scripts.Part]]]:
        pace = AdaptiveBatchSize(AT_ONCE)
        for keys in self.keys(prefix):
            start = 0
            while some := keys[start : start + pace.count]:
                start += len(some)
                parts, size = self._named_values(self._full(some))
                pace.saw(len(some), size)
                yield list(zip(some, parts, strict=True))

    def _named_values(self, keys: list[bytes]) -> tuple[list[scripts.Part], int]:
        try:
            _, text, lengths, size = self._run(scripts.NAMED_VALUES, keys, scripts.SMALL)
        except ScriptsRefused:
            return plain.named_values(self._storage.conn, keys)
        return scripts.unpacked(text, lengths), size

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """One MGET."""
        return list(self._storage.conn.mget(self._full(keys))) if keys else []

    def compare_and_set(self, key: str, old: bytes, new: bytes) -> bool:
        """A script."""
        (full,) = self._full([key])
        try:
            return bool(self._run(scripts.KEYS_REPLACE_SAME, [full], old, new))
        except ScriptsRefused:
            return plain.keys_compare_and_set(self._storage.conn, full, old, new)

    def _read(self, keys: Sequence[str]) -> list[Any]:
        full = self._full(keys)
        try:
            return list(self._run(scripts.KEYS_SIZES_FIRST, full, *SPACE))
        except ScriptsRefused:
            return plain.keys_sizes_first(self._storage.conn, full)

    def _delete(self, keys: list[bytes]) -> int:
        return int(self._storage.conn.delete(*map(self._storage.result_key, keys)))

    def _delete_same(self, value: bytes, keys: list[bytes]) -> list[int]:
        full = [self._storage.result_prefix + key for key in keys]
        try:
            return list(self._run(scripts.KEYS_DELETE_SAME, full, value))
        except ScriptsRefused:
            return plain.keys_compare_and_delete(self._storage.conn, value, full)

    def _run(self, script: Script, keys: Sequence[bytes], *args: Any) -> Any:
        return run_script(self._storage.conn, script, keys, *args)

    def _full(self, keys: Sequence[str]) -> list[bytes]:
        return [self._storage.result_prefix + as_bytes(key) for key in keys]
