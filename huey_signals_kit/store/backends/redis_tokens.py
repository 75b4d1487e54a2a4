"""Tokens in Redis: read and deleted in scripts that take and give many keys as one text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

from ..protocol import Entry
from .batches import AdaptiveBatchSize, as_text
from .redis import RedisStore, pattern
from .redis_hash import RedisHashStore
from .redis_keys import RedisKeysStore
from .redis_scripting import Script, ScriptsRefused, run_script, run_script_often, runs_scripts
from .redis_scripts import SMALL, filled

Page = tuple[list[tuple[bytes, bytes]], list[Entry]]
"""Values, each with its keys of 38 bytes in one text; and all other keys."""

_WIDTH = 38
_PAGE = 400
_DELETED = 150
"""Keys for one script: some three milliseconds of a server's time."""

_found_keys: WeakKeyDictionary[RedisStore, bool] = WeakKeyDictionary()

# Of other keys, and of large values, only the size.
_GROUP = """\
local groups, values, joined, keys, sizes, size = {}, {}, {}, {}, {}, 0
for i = 1, #found, {step} do
    local key, value = {pair}
    if value then
        size = size + #value
        if #key ~= 38 or #value > small then
            keys[#keys + 1] = key
            sizes[#sizes + 1] = #value
        else
            local group = groups[value]
            if group then
                group[#group + 1] = key
            else
                groups[value] = {key}
                values[#values + 1] = value
            end
        end
    end
end
for i, value in ipairs(values) do joined[i] = table.concat(groups[value]) end
return {page[1], values, joined, keys, sizes, size}"""

_HASH_PAGE = Script(
    """\
local small = tonumber(ARGV[4])
local page = redis.call('hscan', KEYS[1], ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local found = page[2]
"""
    + filled(_GROUP, step="2", pair="found[i], found[i + 1]")
)

_KEYS_PAGE = Script(
    """\
local small, skip = tonumber(ARGV[4]), tonumber(ARGV[5]) + 1
local page, each = redis.call('scan', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3]), {}
local found = page[2]
if #found > 0 then each = redis.call('mget', unpack(found)) end
"""
    + filled(_GROUP, step="1", pair="string.sub(found[i], skip), each[i]")
)

_DELETE = """\
local value, joined, before, gone = ARGV[1], ARGV[2], ARGV[3], 0
for first = 1, #joined, 3800 do
    local keys, same = {}, {}
    for i = first, math.min(first + 3799, #joined), 38 do
        keys[#keys + 1] = {key}
    end
    local found = redis.call({get}unpack(keys))
    for i = 1, #keys do
        if found[i] == value then same[#same + 1] = keys[i] end
    end
    if #same > 0 then gone = gone + redis.call({delete}unpack(same)) end
end
return gone"""
_KEY = "string.sub(joined, i, i + 37)"
_HASH_DELETE = Script(
    filled(_DELETE, get="'hmget', KEYS[1], ", delete="'hdel', KEYS[1], ", key=_KEY)
)
_KEYS_DELETE = Script(filled(_DELETE, get="'mget', ", delete="'del', ", key=f"before .. {_KEY}"))
_FIND_KEYS = Script("return redis.call('exists', ARGV[1])")


def pages(store: RedisStore) -> Iterator[Page] | None:
    """All tokens, or None where the server does not let a script find keys by itself."""
    if not _finds_keys(store):
        return None
    storage = store._storage
    if isinstance(store, RedisHashStore):
        return _scan(storage, _HASH_PAGE, pattern(b"r:"), 0)
    ours = bytes(storage.result_prefix)
    return _scan(storage, _KEYS_PAGE, pattern(ours + b"r:"), len(ours))


def delete(store: RedisStore, value: bytes, keys: bytes) -> int:
    """Delete those of *keys*, 38 bytes each, that have *value*; how many had."""
    storage, step = store._storage, _DELETED * _WIDTH
    if not _finds_keys(store):
        some = [as_text(keys[at : at + _WIDTH]) for at in range(0, len(keys), _WIDTH)]
        return len(store.compare_and_delete_many([(key, value) for key in some]))
    if isinstance(store, RedisKeysStore):
        script, names, before = _KEYS_DELETE, [], bytes(storage.result_prefix)
    else:
        script, names, before = _HASH_DELETE, [storage.result_key], b""
    calls = [(value, keys[at : at + step], before) for at in range(0, len(keys), step)]
    return sum(run_script_often(storage.conn, script, names, calls))


def _finds_keys(store: RedisStore) -> bool:
    """Return whether a script can find the keys of *store* by itself; ask the server once."""
    if store not in _found_keys:
        _found_keys[store] = _ask(store)
    return _found_keys[store]


def _ask(store: RedisStore) -> bool:
    conn = store._storage.conn
    if not isinstance(store, RedisKeysStore):
        return runs_scripts(conn)
    try:
        run_script(conn, _FIND_KEYS, (), store._storage.result_prefix)
    except ScriptsRefused:
        return False
    except Exception as exc:
        if type(exc).__name__ != "ResponseError":
            raise
        return False  # the server lets a script use only the keys in KEYS
    return True


def _scan(storage: Any, script: Script, match: bytes, skip: int) -> Iterator[Page]:
    pace, cursor = AdaptiveBatchSize(_PAGE), b"0"
    names = [] if skip else [storage.result_key]
    while True:
        args = (cursor, match, pace.count, SMALL, skip)
        answer = run_script(storage.conn, script, names, *args)
        cursor, values, joined, keys, sizes, size = answer
        pace.saw(pace.count, size)
        others = [
            Entry(as_text(key), b"", len(key) + taken, False)
            for key, taken in zip(keys, sizes, strict=True)
        ]
        yield list(zip(values, joined, strict=True)), others
        if int(cursor) == 0:
            return
