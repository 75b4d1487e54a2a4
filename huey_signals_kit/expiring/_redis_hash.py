"""``RedisStorage``: all results are fields of one hash.

Since 7.4 Redis removes a field by itself. Before, a sorted set ``huey-signals.expiring.<name>``
holds what is due: the digest of the value and the key, by milliseconds since the epoch.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from ..store import Script, ScriptsRefused, run_script, transact
from ._entry import BATCH, Entry, digest
from ._redis_keys import notify

_DIGEST = 40
"""Length of the digest that each member of the sorted set begins with."""

# In one step, so that a result which is stored meanwhile is never taken for the error.
_REAP = Script("""\
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


class RedisHash:
    """Has Redis remove the field if it can, else keeps the sorted set.

    Which of the two, the first write finds out, by doing both; it is remembered for each
    connection pool.
    """

    def __init__(self) -> None:
        self._removes_fields: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()

    def put(self, storage: Any, entry: Entry) -> None:
        """One round trip; one more when the server has become an older one."""
        known = self._removes_fields.get(storage.pool)
        if known is None:
            self._try_both(storage, entry)
        elif not known or not self._with_its_own_time(storage, entry):
            pipe = storage.conn.pipeline(transaction=False)
            _note(storage, pipe, entry)
            pipe.hset(storage.result_key, entry.key, entry.value)
            notify(storage, pipe, entry.key)
            pipe.execute()

    def schedule(self, storage: Any, entry: Entry) -> None:
        """One round trip; by the sorted set, which any Redis has."""
        _note(storage, storage.conn, entry)

    def delete_due(self, storage: Any, now: float) -> bool:
        """Remove errors that are due, in one round trip; in a few without scripts."""
        keys, due_ms = (_index(storage), storage.result_key), round(now * 1000)
        try:
            done = run_script(storage.conn, _REAP, keys, due_ms, BATCH)
        except ScriptsRefused:
            done = _delete_due_without_script(storage, due_ms)
        return bool(done == BATCH)

    def _try_both(self, storage: Any, entry: Entry) -> None:
        # No transaction: an older server refuses all of one that has a command it does not know.
        # What is due goes first, so that a connection that breaks off leaves no error for ever.
        pipe = storage.conn.pipeline(transaction=False)
        _note(storage, pipe, entry)
        pipe.hset(storage.result_key, entry.key, entry.value)
        pipe.hpexpire(storage.result_key, entry.milliseconds, entry.key)
        notify(storage, pipe, entry.key)
        noted, stored, timed, *notified = pipe.execute(raise_on_error=False)
        for answer in (noted, stored, *notified):
            if isinstance(answer, Exception):
                raise answer
        self._removes_fields[storage.pool] = not isinstance(timed, Exception)

    def _with_its_own_time(self, storage: Any, entry: Entry) -> bool:
        pipe = storage.conn.pipeline()
        pipe.hset(storage.result_key, entry.key, entry.value)
        pipe.hpexpire(storage.result_key, entry.milliseconds, entry.key)
        notify(storage, pipe, entry.key)
        try:
            pipe.execute()
        except Exception as exc:
            if "hpexpire" not in str(exc).lower():
                raise
            self._removes_fields[storage.pool] = False
            return False
        return True


def _index(storage: Any) -> str:
    return f"huey-signals.expiring.{storage.name}"


def _delete_due_without_script(storage: Any, due_ms: int) -> int:
    index, results = _index(storage), storage.result_key
    due = storage.conn.zrangebyscore(index, "-inf", due_ms, start=0, num=BATCH)
    if not due:
        return 0

    def change(pipe: Any) -> None:
        values = pipe.hmget(results, [member[_DIGEST:] for member in due])
        pipe.multi()
        pipe.zrem(index, *due)
        for member, value in zip(due, values, strict=True):
            if value is not None and digest(value).encode() == member[:_DIGEST]:
                pipe.hdel(results, member[_DIGEST:])

    transact(storage.conn, [results], change)
    return len(due)


def _note(storage: Any, conn: Any, entry: Entry) -> None:
    conn.zadd(_index(storage), {f"{entry.digest}{entry.key}": entry.due_ms})
