"""Replacements of the Redis scripts by plain commands, for servers that refuse scripts.

They are slower, and a page of a hash includes all its values, even the large ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..protocol import BATCH_BYTES, LARGEST
from .redis_scripting import transact
from .redis_scripts import SMALL, Part


def without_large(values: Sequence[bytes | None]) -> tuple[list[Part], int]:
    """Return `values`, with each large value replaced by its size, and the size of all in bytes."""
    size = sum(len(value) for value in values if value is not None)
    parts: list[Part] = [
        len(value) if value is not None and len(value) > SMALL else value for value in values
    ]
    return parts, size


def hash_page(
    conn: Any, name: str, cursor: Any, match: bytes, count: int
) -> tuple[int, list[bytes], list[Part], int]:
    """Return one page of HSCAN: the cursor, the fields, their values `without_large`, the bytes."""
    cursor, found = conn.hscan(name, int(cursor), match=match, count=count)
    parts, size = without_large(list(found.values()))
    return cursor, list(found), parts, size


def sorted_set_page(conn: Any, name: str, cursor: Any, count: int) -> tuple[int, list[bytes]]:
    """Return one page of ZSCAN: the cursor and the members."""
    cursor, found = conn.zscan(name, int(cursor), count=count)
    return cursor, [member for member, _ in found]


def named_values(conn: Any, keys: Sequence[bytes]) -> tuple[list[Part], int]:
    """Return the values of `keys` as `without_large` does, without reading large values."""
    sizes = _sizes(conn, [("STRLEN", key) for key in keys])
    small = [key for key, size in zip(keys, sizes, strict=True) if size <= SMALL]
    values = dict(zip(small, conn.mget(small) if small else (), strict=True))
    parts = [values.get(key, size) for key, size in zip(keys, sizes, strict=True)]
    return parts, sum(sizes)


def hash_sizes_first(conn: Any, name: str, fields: Sequence[bytes]) -> list[Any]:
    """Return size and value of each field, as many as fit, then the number of fields read."""
    sizes = _sizes(conn, [("HSTRLEN", name, field) for field in fields])
    return _fitting(fields, sizes, lambda some: conn.hmget(name, some))


def keys_sizes_first(conn: Any, keys: Sequence[bytes]) -> list[Any]:
    """Do the same as `hash_sizes_first` for keys instead of fields."""
    return _fitting(keys, _sizes(conn, [("STRLEN", key) for key in keys]), conn.mget)


def hash_compare_and_delete(conn: Any, name: str, value: bytes, fields: list[bytes]) -> list[int]:
    """Delete the fields that have `value`; return the positions of the others."""

    def change(pipe: Any) -> list[int]:
        kept, same = _compare(pipe.hmget(name, fields), value, fields)
        pipe.multi()
        if same:
            pipe.hdel(name, *same)
        return kept

    return transact(conn, [name], change)


def keys_compare_and_delete(conn: Any, value: bytes, keys: list[bytes]) -> list[int]:
    """Do the same as `hash_delete_same` for keys instead of fields."""

    def change(pipe: Any) -> list[int]:
        kept, same = _compare(pipe.mget(keys), value, keys)
        pipe.multi()
        if same:
            pipe.delete(*same)
        return kept

    return transact(conn, keys, change)


def hash_compare_and_set(conn: Any, name: str, field: bytes, old: bytes, new: bytes) -> bool:
    """Write `new` to the field if its value is `old`; return whether it was."""

    def change(pipe: Any) -> bool:
        if pipe.hget(name, field) != old:
            return False
        left = _field_ttl(pipe, name, field)
        pipe.multi()
        pipe.hset(name, field, new)
        if left > 0:
            pipe.execute_command("HPEXPIRE", name, left, "FIELDS", 1, field)
        return True

    return transact(conn, [name], change)


def keys_compare_and_set(conn: Any, key: bytes, old: bytes, new: bytes) -> bool:
    """Do the same as `hash_replace_same` for a key instead of a field."""

    def change(pipe: Any) -> bool:
        if pipe.get(key) != old:
            return False
        left = pipe.pttl(key)
        pipe.multi()
        pipe.set(key, new, px=left if left > 0 else None)
        return True

    return transact(conn, [key], change)


def _compare(
    found: Sequence[bytes | None], value: bytes, keys: list[bytes]
) -> tuple[list[int], list[bytes]]:
    kept = [place for place, each in enumerate(found) if each != value]
    same = [key for key, each in zip(keys, found, strict=True) if each == value]
    return kept, same


def _field_ttl(pipe: Any, name: str, field: bytes) -> int:
    """Return the time to live of the field in milliseconds; 0 if it has none."""
    try:
        (left,) = pipe.execute_command("HPTTL", name, "FIELDS", 1, field)
    except Exception as exc:  # fields cannot expire before Redis 7.4
        if "hpttl" not in str(exc).lower():
            raise
        return 0
    return int(left)


def _sizes(conn: Any, commands: list[tuple[Any, ...]]) -> list[int]:
    """Return the answers of `commands`, 0 for keys that are not strings or hashes."""
    pipe = conn.pipeline(transaction=False)
    for command in commands:
        pipe.execute_command(*command)
    answers = pipe.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception) and "WRONGTYPE" not in str(answer):
            raise answer
    return [answer if isinstance(answer, int) else 0 for answer in answers]


def _fitting(keys: Sequence[bytes], sizes: list[int], fetch: Any) -> list[Any]:
    room, looked_at = BATCH_BYTES, 0
    for size in sizes:
        taken = size if size <= LARGEST else 0
        if taken > room and looked_at:
            break
        room -= taken
        looked_at += 1
    known = list(zip(keys, sizes, strict=True))[:looked_at]
    wanted = [key for key, size in known if size <= LARGEST]
    values = dict(zip(wanted, fetch(wanted) if wanted else (), strict=True))
    found: list[Any] = []
    for key, size in known:
        found += [size, values.get(key)]
    return [*found, looked_at]
