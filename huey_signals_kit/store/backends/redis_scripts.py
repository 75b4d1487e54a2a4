"""The Lua scripts with which the Redis backends read, compare and delete values.

A page of keys and values is returned packed, because a client takes much longer to parse many small
answers than one large one. A packed answer has one text with all parts, and one text with their
lengths, separated by spaces. The length -1 stands for a value that is missing; any other negative
length is that of a large value, which was left out. `unpack` splits such an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from .redis_scripting import Script

SMALL = 4096
"""Bytes up to which a value is part of its page; of a larger value, only the size is."""

ValueOrSize = bytes | int | None
"""A value, or the size of a large value, or None for a missing value."""

# Packs parts: every step-th from the first on is a value, the others are keys. Returns both texts,
# and the size of all values.
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

# Before Redis 7.4 HSCAN has no NOVALUES: then the script leaves the values out of its answer.
HASH_KEYS_PAGE = Script(
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

HASH_PAGE = Script(
    _PACK
    + """\
local page = redis.call('hscan', KEYS[1], ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local text, lengths, size = pack(page[2], 2, 2, tonumber(ARGV[4]))
return {page[1], text, lengths, size}"""
)

SORTED_SET_PAGE = Script(
    _PACK
    + """\
local page, members = redis.call('zscan', KEYS[1], ARGV[1], 'COUNT', ARGV[2]), {}
for i = 1, #page[2], 2 do members[#members + 1] = page[2][i] end
return {page[1], pack(members, 1, 1, math.huge)}"""
)

# The script finds the keys by itself, so that the client does not send them back: a tenth of the
# bytes. Some servers forbid that; `VALUES` replaces it there.
SCAN_PAGE = Script(
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

VALUES = Script(
    _PACK
    + """\
return {'0', pack(redis.call('mget', unpack(KEYS)), 1, 1, tonumber(ARGV[1]))}"""
)

# Redis knows the size of a value without reading it, so the script asks for sizes first and reads
# the values that fit. ARGV: the size of the largest value, and the bytes of all values together.
# The answer has size and value of each key, then the number of keys read. The size is 0 if the key
# is missing or is not a string.
_SIZES_FIRST = """\
local largest, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local answer = {}
for i = 1, {number} do
    local size = redis.pcall('{size}', {key})
    if type(size) ~= 'number' then size = 0 end
    local wanted = size <= largest
    if wanted and size > room and i > 1 then
        answer[#answer + 1] = i - 1
        return answer
    end
    answer[#answer + 1] = size
    answer[#answer + 1] = wanted and redis.pcall('{get}', {key})
    if type(answer[#answer]) == 'table' then answer[#answer] = false end
    if wanted then room = room - size end
end
answer[#answer + 1] = {number}
return answer"""

# ARGV[1] is the number of values. Then come the values: one for all keys, or one for each. The
# answer has the positions of the keys that have another value.
_COMPARE_AND_DELETE = """\
local kept, equal, number = {}, {}, tonumber(ARGV[1])
local values = redis.call({get})
for i = 1, #values do
    local list = values[i] == ARGV[1 + math.min(i, number)] and equal or kept
    list[#list + 1] = list == equal and {key} or i - 1
end
if #equal > 0 then redis.call({delete}, unpack(equal)) end
return kept"""


def _fill(template: str, **parts: str) -> Script:
    """Return the script with each ``{name}`` in the template replaced."""
    for name, part in parts.items():
        template = template.replace(f"{{{name}}}", part)
    return Script(template)


HASH_SIZES_FIRST = _fill(
    _SIZES_FIRST, size="hstrlen", get="hget", key="KEYS[1], ARGV[i + 2]", number="#ARGV - 2"
)
KEYS_SIZES_FIRST = _fill(_SIZES_FIRST, size="strlen", get="get", key="KEYS[i]", number="#KEYS")
HASH_COMPARE_AND_DELETE = _fill(
    _COMPARE_AND_DELETE,
    get="'hmget', KEYS[1], unpack(ARGV, 2 + ARGV[1])",
    key="ARGV[i + number + 1]",
    delete="'hdel', KEYS[1]",
)
KEYS_COMPARE_AND_DELETE = _fill(
    _COMPARE_AND_DELETE,
    get="'mget', unpack(KEYS)",
    key="KEYS[i]",
    delete="'del'",
)

# Since Redis 7.4 a field may have a time to live, which HSET would remove.
HASH_COMPARE_AND_SET = Script("""\
if redis.call('hget', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
local ttl = redis.pcall('hpttl', KEYS[1], 'FIELDS', 1, ARGV[1])
redis.call('hset', KEYS[1], ARGV[1], ARGV[3])
if type(ttl[1]) == 'number' and ttl[1] > 0 then
    redis.call('hpexpire', KEYS[1], ttl[1], 'FIELDS', 1, ARGV[1])
end
return 1""")

KEYS_COMPARE_AND_SET = Script("""\
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
local ttl = redis.call('pttl', KEYS[1])
if ttl > 0 then
    redis.call('set', KEYS[1], ARGV[2], 'PX', ttl)
else
    redis.call('set', KEYS[1], ARGV[2])
end
return 1""")


def unpack(text: bytes, lengths: bytes) -> list[ValueOrSize]:
    """Return the parts of a packed answer.

    Args:
        text: All parts, one after the other.
        lengths: Their lengths, separated by spaces; see the module's docstring for negative ones.
    """
    sizes: Sequence[int] = list(map(int, lengths.split()))
    ends = accumulate((size if size > 0 else 0 for size in sizes), initial=0)
    if b"-" not in lengths:
        return [text[start:end] for start, end in pairwise(ends)]
    return [
        text[start:end] if size >= 0 else (-size if size < -1 else None)
        for (start, end), size in zip(pairwise(ends), sizes, strict=True)
    ]
