"""Scripts for Redis: what is read comes packed, as a client takes longer over many small answers.

A packed answer is one text of all parts, and one of their lengths: -1 stands for a value that is
not there, and any other negative length for one that is large and was left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from .redis_scripting import Script

SMALL = 4096
"""Bytes up to which a value comes with the page that it is on; of a larger one, only the size."""

Part = bytes | int | None

_PACK = """\
local function pack(parts, first, step, small)
    local lengths, size = {}, 0
    for i = 1, #parts do lengths[i] = parts[i] and #parts[i] or -1 end
    for i = first, #parts, step do
        local length = lengths[i]
        if length > 0 then size = size + length end
        if length > small then lengths[i] = -length end
        if lengths[i] < 0 then parts[i] = '' end
    end
    return table.concat(parts), table.concat(lengths, ' '), size
end
"""

# Before 7.4 HSCAN always brings the values: they go no further than the script.
HASH_KEYS = Script(
    _PACK
    + """\
local key, cursor, match, count = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if ARGV[4] == '1' then
    local page = redis.pcall('hscan', key, cursor, 'MATCH', match, 'COUNT', count, 'NOVALUES')
    if not page.err then
        local text, lengths = pack(page[2], 1, 1, math.huge)
        return {page[1], text, lengths, 0, 1}
    end
end
local page = redis.call('hscan', key, cursor, 'MATCH', match, 'COUNT', count)
local keys, size = {}, 0
for i = 1, #page[2], 2 do
    keys[#keys + 1] = page[2][i]
    size = size + #page[2][i + 1]
end
local text, lengths = pack(keys, 1, 1, math.huge)
return {page[1], text, lengths, size, 0}"""
)

HASH_PAIRS = Script(
    _PACK
    + """\
local page = redis.call('hscan', KEYS[1], ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local text, lengths, size = pack(page[2], 2, 2, tonumber(ARGV[4]))
return {page[1], text, lengths, size}"""
)

SORTED_SET = Script(
    _PACK
    + """\
local page, members = redis.call('zscan', KEYS[1], ARGV[1], 'COUNT', ARGV[2]), {}
for i = 1, #page[2], 2 do members[#members + 1] = page[2][i] end
return {page[1], pack(members, 1, 1, math.huge)}"""
)

# Which keys there are, the script finds out itself: it is sent fewer than a tenth of the bytes.
SCANNED_PAIRS = Script(
    _PACK
    + """\
local page = redis.call('scan', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
if #page[2] == 0 then return {page[1], '', '', 0} end
local values, parts = redis.call('mget', unpack(page[2])), {}
for i, key in ipairs(page[2]) do
    parts[2 * i - 1], parts[2 * i] = key, values[i]
end
local text, lengths, size = pack(parts, 2, 2, tonumber(ARGV[4]))
return {page[1], text, lengths, size}"""
)

NAMED_VALUES = Script(
    _PACK
    + """\
return {'0', pack(redis.call('mget', unpack(KEYS)), 1, 1, tonumber(ARGV[1]))}"""
)

# Sizes first, as Redis keeps them; then the values that fit. The last number is how many of the
# keys were looked at. A key that has gone, or holds no string, has no size.
_SIZES_FIRST = """\
local largest, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local found = {}
for i = 1, {number} do
    local size = redis.pcall('{size}', {key})
    if type(size) ~= 'number' then size = 0 end
    local wanted = size <= largest
    if wanted and size > room and i > 1 then
        found[#found + 1] = i - 1
        return found
    end
    found[#found + 1] = size
    found[#found + 1] = wanted and redis.pcall('{get}', {key})
    if type(found[#found]) == 'table' then found[#found] = false end
    if wanted then room = room - size end
end
found[#found + 1] = {number}
return found"""

# The first argument is the value; those are named in the answer that had another.
_DELETE_SAME = """\
local kept, same = {}, {}
local found = redis.call({get})
for i = 1, {number} do
    local where = found[i] == ARGV[1] and same or kept
    where[#where + 1] = where == same and {key} or i - 1
end
if #same > 0 then redis.call({delete}, unpack(same)) end
return kept"""


def filled(script: str, **parts: str) -> str:
    """*script* with each ``{name}`` of *parts* in place."""
    for name, part in parts.items():
        script = script.replace(f"{{{name}}}", part)
    return script


def _filled(script: str, **parts: str) -> Script:
    return Script(filled(script, **parts))


HASH_SIZES_FIRST = _filled(
    _SIZES_FIRST, size="hstrlen", get="hget", key="KEYS[1], ARGV[i + 2]", number="#ARGV - 2"
)
KEYS_SIZES_FIRST = _filled(_SIZES_FIRST, size="strlen", get="get", key="KEYS[i]", number="#KEYS")
HASH_DELETE_SAME = _filled(
    _DELETE_SAME,
    get="'hmget', KEYS[1], unpack(ARGV, 2)",
    key="ARGV[i + 1]",
    number="#ARGV - 1",
    delete="'hdel', KEYS[1]",
)
KEYS_DELETE_SAME = _filled(
    _DELETE_SAME, get="'mget', unpack(KEYS)", key="KEYS[i]", number="#KEYS", delete="'del'"
)

# Since 7.4 a field may have a time to live, which a new value would end.
HASH_REPLACE_SAME = Script("""\
if redis.call('hget', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
local left = redis.pcall('hpttl', KEYS[1], 'FIELDS', 1, ARGV[1])
redis.call('hset', KEYS[1], ARGV[1], ARGV[3])
if type(left[1]) == 'number' and left[1] > 0 then
    redis.call('hpexpire', KEYS[1], left[1], 'FIELDS', 1, ARGV[1])
end
return 1""")

KEYS_REPLACE_SAME = Script("""\
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
local left = redis.call('pttl', KEYS[1])
if left > 0 then
    redis.call('set', KEYS[1], ARGV[2], 'PX', left)
else
    redis.call('set', KEYS[1], ARGV[2])
end
return 1""")


def unpacked(text: bytes, lengths: bytes) -> list[Part]:
    """The parts of a packed answer; of a large one its size, None for what is not there."""
    sizes: Sequence[int] = list(map(int, lengths.split()))
    ends = accumulate((size if size > 0 else 0 for size in sizes), initial=0)
    if b"-" not in lengths:
        return [text[start:end] for start, end in pairwise(ends)]
    return [
        text[start:end] if size >= 0 else (-size if size < -1 else None)
        for (start, end), size in zip(pairwise(ends), sizes, strict=True)
    ]
