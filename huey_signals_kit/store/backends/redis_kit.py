"""The backend for the kit's own data on Redis: fields of a hash, and keys that expire.

Each script begins with a deletion of nothing. After a deletion Redis lets a script write even if
the server is full (``maxmemory`` with ``noeviction``); single commands and transactions may not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from .batches import as_bytes, as_text, chunks
from .redis import SCRIPT_BATCH, prefix_pattern
from .redis_scripting import Script, ScriptsRefused, run_script, transact

# ARGV: the field; 1 if it must have a certain value, 0 if it must be missing; that value; the new
# value; milliseconds until the additional key KEYS[2] expires, 0 for no such key.
_WRITE = Script("""\
redis.call('hdel', KEYS[1], '')
local value = redis.call('hget', KEYS[1], ARGV[1])
if value ~= (ARGV[2] == '1' and ARGV[3]) then return 0 end
redis.call('hset', KEYS[1], ARGV[1], ARGV[4])
if ARGV[5] ~= '0' then redis.call('set', KEYS[2], '', 'px', ARGV[5]) end
return 1""")
_PUT = Script("""\
redis.call('hdel', KEYS[1], '')
redis.call('hset', KEYS[1], ARGV[1], ARGV[2])
return 1""")
_DELETE = Script("""\
if redis.call('hget', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('hdel', KEYS[1], ARGV[1], unpack(ARGV, 3))
if KEYS[2] then redis.call('del', KEYS[2]) end
return 1""")


class RedisKitStore:
    """A `KitStore` on Redis; every operation is atomic, and one round trip.

    If the server refuses scripts, optimistic transactions replace them.

    Args:
        storage: Huey's storage, whose client is used.
        key: The key of the hash.
        expiring_key: Returns the additional key of a field, which expires; None for no such keys.
    """

    def __init__(
        self, storage: Any, key: str, expiring_key: Callable[[str], str] | None = None
    ) -> None:
        self._conn = storage.conn
        self._key = key
        self._expiring_key = expiring_key

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values, by HMGET."""
        return list(self._conn.hmget(self._key, [as_bytes(key) for key in keys])) if keys else []

    def all(self) -> dict[str, bytes]:
        """Return all fields with their values, by HGETALL: a consistent snapshot."""
        return {as_text(key): value for key, value in self._conn.hgetall(self._key).items()}

    def put(self, key: str, value: bytes) -> None:
        """Write a value."""
        try:
            run_script(self._conn, _PUT, (self._key,), as_bytes(key), value)
        except ScriptsRefused:
            self._conn.hset(self._key, as_bytes(key), value)

    def put_if_absent(self, key: str, value: bytes, seconds: float = 0) -> bool:
        """Write a value if the field is missing; return whether it was.

        Args:
            key: The field.
            value: The value.
            seconds: Time to live of the additional key; 0 writes none.
        """
        return self._write(key, None, value, seconds)

    def compare_and_set(self, key: str, old: bytes, new: bytes, seconds: float = 0) -> bool:
        """Write `new` if the value is `old`; return whether it was.

        `seconds` as for `put_if_absent`.
        """
        return self._write(key, old, new, seconds)

    def _write(self, key: str, old: bytes | None, new: bytes, seconds: float) -> bool:
        field, keys = as_bytes(key), self._keys(key)
        milliseconds = round(seconds * 1000) if len(keys) > 1 else 0
        args = field, int(old is not None), old or b"", new, milliseconds
        try:
            return bool(run_script(self._conn, _WRITE, keys, *args))
        except ScriptsRefused:

            def write(pipe: Any) -> None:
                pipe.hset(self._key, field, new)
                if milliseconds:
                    pipe.set(keys[1], b"", px=milliseconds)

            return self._transact(field, old, write)

    def compare_and_delete(self, key: str, value: bytes, *others: str) -> bool:
        """Delete the field if it has this value, and with it the fields `others`.

        The additional key of the field is deleted, too. Return whether it had this value.
        """
        field, keys, more = as_bytes(key), self._keys(key), list(map(as_bytes, others))
        try:
            return bool(run_script(self._conn, _DELETE, keys, field, value, *more))
        except ScriptsRefused:

            def delete(pipe: Any) -> None:
                pipe.hdel(self._key, field, *more)
                if keys[1:]:
                    pipe.delete(*keys[1:])

            return self._transact(field, value, delete)

    def _keys(self, key: str) -> tuple[str, ...]:
        return (self._key, self._expiring_key(key)) if self._expiring_key else (self._key,)

    def _transact(self, field: bytes, old: bytes | None, queue: Callable[[Any], None]) -> bool:
        def change(pipe: Any) -> bool:
            if pipe.hget(self._key, field) != old:
                return False
            pipe.multi()
            queue(pipe)
            return True

        return transact(self._conn, [self._key], change)

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """Yield the fields, by HSCAN."""
        match = prefix_pattern(as_bytes(prefix))
        items = self._conn.hscan_iter(self._key, match=match, count=SCRIPT_BATCH)
        yield from chunks(as_text(field) for field, _ in items)

    def delete(self, keys: Iterable[str]) -> int:
        """Delete fields, by HDEL."""
        chunked = chunks(map(as_bytes, keys))
        return sum(int(self._conn.hdel(self._key, *chunk)) for chunk in chunked)


# KEYS: a key that expires. A deletion comes first, as above.
_PUT_KEY_IF_ABSENT = Script("""\
if redis.call('exists', KEYS[1]) == 1 then return 0 end
redis.call('del', KEYS[1])
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
return 1""")
_COMPARE_AND_SET_KEY = Script("""\
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('del', KEYS[1])
redis.call('set', KEYS[1], ARGV[2], 'px', ARGV[3])
return 1""")
_COMPARE_AND_DELETE_KEY = Script("""\
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('del', KEYS[1])""")


class RedisExpiringKeys:
    """Redis keys that expire, written by compare-and-set; for leases.

    Args:
        storage: Huey's storage, whose client is used.
        prefix: The prefix of all keys.
    """

    def __init__(self, storage: Any, prefix: str) -> None:
        self._conn = storage.conn
        self._prefix = prefix

    def get(self, key: str) -> bytes | None:
        """Return the value."""
        value: bytes | None = self._conn.get(self._prefix + key)
        return value

    def put_if_absent(self, key: str, value: bytes, seconds: float = 0) -> bool:
        """Write a value if the key is missing."""
        full, milliseconds = self._prefix + key, _milliseconds(seconds)
        try:
            return bool(run_script(self._conn, _PUT_KEY_IF_ABSENT, (full,), value, milliseconds))
        except ScriptsRefused:
            return bool(self._conn.set(full, value, nx=True, px=milliseconds))

    def compare_and_set(self, key: str, old: bytes, new: bytes, seconds: float = 0) -> bool:
        """Write `new` if the value is `old`."""
        full, milliseconds = self._prefix + key, _milliseconds(seconds)
        try:
            return bool(
                run_script(self._conn, _COMPARE_AND_SET_KEY, (full,), old, new, milliseconds)
            )
        except ScriptsRefused:
            return self._transact(full, old, lambda pipe: pipe.set(full, new, px=milliseconds))

    def compare_and_delete(self, key: str, old: bytes) -> bool:
        """Delete the key if it has this value."""
        full = self._prefix + key
        try:
            return bool(run_script(self._conn, _COMPARE_AND_DELETE_KEY, (full,), old))
        except ScriptsRefused:
            return self._transact(full, old, lambda pipe: pipe.delete(full))

    def _transact(self, full: str, old: bytes, queue: Callable[[Any], object]) -> bool:
        def change(pipe: Any) -> bool:
            if pipe.get(full) != old:
                return False
            pipe.multi()
            queue(pipe)
            return True

        return transact(self._conn, [full], change)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
