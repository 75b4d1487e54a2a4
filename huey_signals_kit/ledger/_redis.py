"""Redis: a hash of its own, ``huey-signals.ledger.<name>``, in both layouts of the results.

Whether a process is fresh, a key with a time to live says, which is written in the same step;
a lease is a key that expires.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ._shelf import PROCESS, TOTALS, Cells

# An empty ARGV[2] stands for "there is none".
_WRITE = """\
local old = ARGV[2] ~= '' and ARGV[2]
if redis.call('hget', KEYS[1], ARGV[1]) ~= old then return 0 end
redis.call('hset', KEYS[1], ARGV[1], ARGV[3])
if ARGV[4] ~= '0' then redis.call('set', KEYS[2], '', 'px', ARGV[4]) end
return 1"""
_DELETE = """\
if redis.call('hget', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('hdel', KEYS[1], ARGV[1])
redis.call('del', KEYS[2])
return 1"""
_WRITE_KEY = """\
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[2], 'px', ARGV[3])
return 1"""
_DELETE_KEY = """\
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('del', KEYS[1])"""


class RedisShelf:
    """Every operation is one round trip."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self._hash = f"huey-signals.ledger.{storage.name}"

    @property
    def leases(self) -> Cells:
        """Keys of their own."""
        return _Keys(self._storage)

    def get(self, key: str) -> bytes | None:
        """One field."""
        found: bytes | None = self._storage.conn.hget(self._hash, _bytes(key))
        return found

    def put_new(self, key: str, value: bytes, seconds: float = 0) -> bool:
        """A script."""
        return self._write(key, b"", value, seconds)

    def replace_same(self, key: str, old: bytes, new: bytes, seconds: float = 0) -> bool:
        """A script."""
        return self._write(key, old, new, seconds)

    def delete_same(self, key: str, old: bytes) -> bool:
        """A script."""
        keys = (self._hash, self._fresh(key))
        return bool(self._storage.conn.eval(_DELETE, 2, *keys, _bytes(key), old))

    def read(self) -> tuple[bytes | None, dict[str, bytes]]:
        """The whole hash, in one step; it has a field for each process."""
        found = self._storage.conn.hgetall(self._hash)
        fields = {key.decode("utf-8", "surrogateescape"): value for key, value in found.items()}
        start = len(PROCESS)
        records = {key[start:]: fields[key] for key in fields if key.startswith(PROCESS)}
        return fields.get(TOTALS), records

    def fresh(self, ids: Iterable[str]) -> frozenset[str]:
        """To be asked after `read`: a record is never there before its key."""
        ids = list(ids)
        keys = [self._fresh(PROCESS + each) for each in ids]
        found = self._storage.conn.mget(keys) if keys else []
        return frozenset(each for each, value in zip(ids, found, strict=True) if value is not None)

    def _fresh(self, key: str) -> bytes:
        return _bytes(f"huey-signals.fresh.{self._storage.name}.{key}")

    def _write(self, key: str, old: bytes, new: bytes, seconds: float) -> bool:
        keys = (self._hash, self._fresh(key))
        arguments = (_bytes(key), old, new, round(seconds * 1000))
        return bool(self._storage.conn.eval(_WRITE, 2, *keys, *arguments))


class _Keys:
    def __init__(self, storage: Any) -> None:
        self._conn = storage.conn
        self._prefix = f"huey-signals.lease.{storage.name}."

    def get(self, key: str) -> bytes | None:
        found: bytes | None = self._conn.get(self._prefix + key)
        return found

    def put_new(self, key: str, value: bytes, seconds: float = 0) -> bool:
        return bool(self._conn.set(self._prefix + key, value, nx=True, px=_ms(seconds)))

    def replace_same(self, key: str, old: bytes, new: bytes, seconds: float = 0) -> bool:
        return bool(self._conn.eval(_WRITE_KEY, 1, self._prefix + key, old, new, _ms(seconds)))

    def delete_same(self, key: str, old: bytes) -> bool:
        return bool(self._conn.eval(_DELETE_KEY, 1, self._prefix + key, old))


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
