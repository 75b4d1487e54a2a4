"""The backends for Redis, whose servers delete keys, and since 7.4 fields of a hash, by themselves.

For older servers, the index of a queue with its results in one hash is a sorted set,
``huey-signals.expiring.<name>``. Its members are the digest of the value and the key; their scores
are milliseconds since the epoch.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from ..store import Script, ScriptsRefused, redis_key, run_script, transact
from ._entry import BATCH, DIGEST_LENGTH, Entry, digest

# One step, so that a result that is stored meanwhile is never taken for the error.
# KEYS: the index, the hash of results. ARGV: the time in milliseconds, the number of errors.
_DELETE_DUE = Script("""\
local due = redis.call('zrangebyscore', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, member in ipairs(due) do
    local key = string.sub(member, 41)
    local value = redis.call('hget', KEYS[2], key)
    if value and redis.sha1hex(value) == string.sub(member, 1, 40) then
        redis.call('hdel', KEYS[2], key)
    end
    redis.call('zrem', KEYS[1], member)
end
return #due""")


class RedisKeys:
    """The backend for ``RedisExpireStorage``, where each result is a key that can expire."""

    has_index = False

    def put(self, storage: Any, entry: Entry) -> None:
        """Store the error with its time to live, in place of the storage's own."""
        pipe = storage.conn.pipeline()
        pipe.set(storage.result_key(entry.key), entry.value, px=entry.milliseconds)
        _notify(storage, pipe, entry.key)
        pipe.execute()

    def schedule(self, storage: Any, entry: Entry) -> None:
        """Set the time to live of the key."""
        storage.conn.pexpire(storage.result_key(entry.key), entry.milliseconds)

    def delete_due(self, storage: Any, now: float) -> bool:
        """Return False: Redis deletes the keys."""
        return False


class RedisHash:
    """The backend for ``RedisStorage``, where all results are fields of one hash.

    Whether the server has a time to live for fields is found out by the first `put`, which writes
    the index and the time to live. The answer is remembered for each connection pool.
    """

    has_index = True

    def __init__(self) -> None:
        self._has_field_ttl: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()

    def put(self, storage: Any, entry: Entry) -> None:
        """Store the error, in one round trip; in two after the server was replaced by an older."""
        has_field_ttl = self._has_field_ttl.get(storage.pool)
        if has_field_ttl is None:
            self._put_both_ways(storage, entry)
        elif not has_field_ttl or not self._put_with_ttl(storage, entry):
            pipe = storage.conn.pipeline(transaction=False)
            _add_to_index(storage, pipe, entry)
            pipe.hset(storage.result_key, entry.key, entry.value)
            _notify(storage, pipe, entry.key)
            pipe.execute()

    def schedule(self, storage: Any, entry: Entry) -> None:
        """Add the error to the index, which works on every version of Redis."""
        _add_to_index(storage, storage.conn, entry)

    def delete_due(self, storage: Any, now: float) -> bool:
        """Delete errors that are due, in one round trip; in a few without scripts."""
        keys, now_ms = (_index_key(storage), storage.result_key), round(now * 1000)
        try:
            deleted = run_script(storage.conn, _DELETE_DUE, keys, now_ms, BATCH)
        except ScriptsRefused:
            deleted = _delete_due_without_script(storage, now_ms)
        return bool(deleted == BATCH)

    def _put_both_ways(self, storage: Any, entry: Entry) -> None:
        # No transaction: an older server refuses all of one that has an unknown command. The index
        # comes first, so that a connection that breaks leaves no error that stays forever.
        pipe = storage.conn.pipeline(transaction=False)
        _add_to_index(storage, pipe, entry)
        pipe.hset(storage.result_key, entry.key, entry.value)
        pipe.hpexpire(storage.result_key, entry.milliseconds, entry.key)
        _notify(storage, pipe, entry.key)
        indexed, stored, expires, *notified = pipe.execute(raise_on_error=False)
        for answer in (indexed, stored, *notified):
            if isinstance(answer, Exception):
                raise answer
        self._has_field_ttl[storage.pool] = not isinstance(expires, Exception)

    def _put_with_ttl(self, storage: Any, entry: Entry) -> bool:
        """Store the error with a time to live; return False if the server has none for fields."""
        pipe = storage.conn.pipeline()
        pipe.hset(storage.result_key, entry.key, entry.value)
        pipe.hpexpire(storage.result_key, entry.milliseconds, entry.key)
        _notify(storage, pipe, entry.key)
        try:
            pipe.execute()
        except Exception as exc:
            if "hpexpire" not in str(exc).lower():
                raise
            self._has_field_ttl[storage.pool] = False
            return False
        return True


def _index_key(storage: Any) -> str:
    return redis_key("expiring", storage.name)


def _add_to_index(storage: Any, conn: Any, entry: Entry) -> None:
    conn.zadd(_index_key(storage), {f"{entry.digest}{entry.key}": entry.due_ms})


def _delete_due_without_script(storage: Any, now_ms: int) -> int:
    index, results = _index_key(storage), storage.result_key
    due = storage.conn.zrangebyscore(index, "-inf", now_ms, start=0, num=BATCH)
    if not due:
        return 0

    def change(pipe: Any) -> None:
        values = pipe.hmget(results, [member[DIGEST_LENGTH:] for member in due])
        pipe.multi()
        pipe.zrem(index, *due)
        for member, value in zip(due, values, strict=True):
            if value is not None and digest(value).encode() == member[:DIGEST_LENGTH]:
                pipe.hdel(results, member[DIGEST_LENGTH:])

    transact(storage.conn, [results], change)
    return len(due)


def _notify(storage: Any, pipe: Any, key: str) -> None:
    """Wake the processes that wait for the result, as Huey does since 3.0 (``notify_result``)."""
    if getattr(storage, "notify_result", False):
        name = storage.notify_prefix + key
        pipe.lpush(name, b"1")
        pipe.expire(name, storage.notify_result_ttl)
