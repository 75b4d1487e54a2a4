"""Replacements of the Redis scripts by plain commands, for servers that refuse scripts.

They are slower, and a page of a hash includes all its values, even the large ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..protocol import BATCH_BYTES, LARGEST
from .redis_scripting import transact
from .redis_scripts import SMALL, ValueOrSize


def _without_large(values: Sequence[bytes | None]) -> tuple[list[ValueOrSize], int]:
    """Return `values`, with each large value replaced by its size, and the size of all in bytes."""
    size = sum(len(value) for value in values if value is not None)
    parts: list[ValueOrSize] = [
        len(value) if value is not None and len(value) > SMALL else value for value in values
    ]
    return parts, size


def hash_page(
    conn: Any, name: str, cursor: Any, match: bytes, count: int
) -> tuple[int, list[bytes], list[ValueOrSize], int]:
    """Return one page of HSCAN.

    Returns:
        The cursor, the fields, their values or the sizes of large values, and the size of all.
    """
    cursor, page = conn.hscan(name, int(cursor), match=match, count=count)
    parts, size = _without_large(list(page.values()))
    return cursor, list(page), parts, size


def sorted_set_page(conn: Any, name: str, cursor: Any, count: int) -> tuple[int, list[bytes]]:
    """Return one page of ZSCAN: the cursor and the members."""
    cursor, page = conn.zscan(name, int(cursor), count=count)
    return cursor, [member for member, _ in page]


def values(conn: Any, keys: Sequence[bytes]) -> tuple[list[ValueOrSize], int]:
    """Return the values of the keys, or the sizes of large values, and the size of all.

    Large values are not read.
    """
    sizes = _sizes(conn, [("STRLEN", key) for key in keys])
    small = [key for key, size in zip(keys, sizes, strict=True) if size <= SMALL]
    small_values = dict(zip(small, conn.mget(small) if small else (), strict=True))
    parts = [small_values.get(key, size) for key, size in zip(keys, sizes, strict=True)]
    return parts, sum(sizes)


def hash_sizes_first(conn: Any, name: str, fields: Sequence[bytes]) -> list[Any]:
    """Return size and value of each field, as many as fit, then the number of fields read."""
    sizes = _sizes(conn, [("HSTRLEN", name, field) for field in fields])
    return _fetch_fitting(fields, sizes, lambda some: conn.hmget(name, some))


def keys_sizes_first(conn: Any, keys: Sequence[bytes]) -> list[Any]:
    """Do the same as `hash_sizes_first` for keys instead of fields."""
    return _fetch_fitting(keys, _sizes(conn, [("STRLEN", key) for key in keys]), conn.mget)


def hash_compare_and_delete(
    conn: Any, name: str, values: Sequence[bytes], fields: list[bytes]
) -> list[int]:
    """Delete the fields that have their value; return the positions of the others.

    Args:
        conn: The client.
        name: The hash.
        values: The value of all fields, or one value for each field.
        fields: The fields.
    """

    def change(pipe: Any) -> list[int]:
        kept, equal = _split(pipe.hmget(name, fields), values, fields)
        pipe.multi()
        if equal:
            pipe.hdel(name, *equal)
        return kept

    return transact(conn, [name], change)


def keys_compare_and_delete(conn: Any, values: Sequence[bytes], keys: list[bytes]) -> list[int]:
    """Do the same as `hash_compare_and_delete` for keys instead of fields."""

    def change(pipe: Any) -> list[int]:
        kept, equal = _split(pipe.mget(keys), values, keys)
        pipe.multi()
        if equal:
            pipe.delete(*equal)
        return kept

    return transact(conn, keys, change)


def hash_compare_and_set(conn: Any, name: str, field: bytes, old: bytes, new: bytes) -> bool:
    """Write `new` to the field if its value is `old`; return whether it was."""

    def change(pipe: Any) -> bool:
        if pipe.hget(name, field) != old:
            return False
        ttl = _field_ttl(pipe, name, field)
        pipe.multi()
        pipe.hset(name, field, new)
        if ttl > 0:
            pipe.execute_command("HPEXPIRE", name, ttl, "FIELDS", 1, field)
        return True

    return transact(conn, [name], change)


def keys_compare_and_set(conn: Any, key: bytes, old: bytes, new: bytes) -> bool:
    """Do the same as `hash_compare_and_set` for a key instead of a field."""

    def change(pipe: Any) -> bool:
        if pipe.get(key) != old:
            return False
        ttl = pipe.pttl(key)
        pipe.multi()
        pipe.set(key, new, px=ttl if ttl > 0 else None)
        return True

    return transact(conn, [key], change)


def _split(
    stored: Sequence[bytes | None], values: Sequence[bytes], keys: list[bytes]
) -> tuple[list[int], list[bytes]]:
    """Return the positions of the keys that have another value, and the keys that have theirs."""
    expected = values if len(values) == len(keys) else [values[0]] * len(keys)
    kept, equal = [], []
    rows = zip(keys, stored, expected, strict=True)
    for index, (key, stored_value, value) in enumerate(rows):
        if stored_value == value:
            equal.append(key)
        else:
            kept.append(index)
    return kept, equal


def _field_ttl(pipe: Any, name: str, field: bytes) -> int:
    """Return the time to live of the field in milliseconds; 0 if it has none."""
    try:
        (ttl,) = pipe.execute_command("HPTTL", name, "FIELDS", 1, field)
    except Exception as exc:  # fields cannot expire before Redis 7.4
        if "hpttl" not in str(exc).lower():
            raise
        return 0
    return int(ttl)


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


def _fetch_fitting(
    keys: Sequence[bytes],
    sizes: list[int],
    fetch: Callable[[list[bytes]], Sequence[bytes | None]],
) -> list[Any]:
    """Return size and value of the first keys, as many as fit, then the number of keys read."""
    room, read = BATCH_BYTES, 0
    for size in sizes:
        fetched_size = size if size <= LARGEST else 0
        if fetched_size > room and read:
            break
        room -= fetched_size
        read += 1
    rows = list(zip(keys, sizes, strict=True))[:read]
    fetchable = [key for key, size in rows if size <= LARGEST]
    fetched = dict(zip(fetchable, fetch(fetchable) if fetchable else (), strict=True))
    answer: list[Any] = []
    for key, size in rows:
        answer += [size, fetched.get(key)]
    return [*answer, read]
