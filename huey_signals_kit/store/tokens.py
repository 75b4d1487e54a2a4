"""Read and delete revoke tokens by the thousand.

Nearly all tokens have an id that Huey made, and one of two values. So they are passed around by
value, each id packed into 16 bytes, which Redis and this process do several times as quickly as
with a key and a value each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .backends.redis import RedisStore
from .backends.redis_tokens import delete, pages
from .keys import TOKEN
from .protocol import Entry, Store

ID = 16
WIDTH = 38
"""Characters of a token's key, ``r:`` and an id that Huey made."""

# Where the 32 digits stand in a key, and what stands at every other place.
_DIGITS = [*range(2, 10), *range(11, 15), *range(16, 20), *range(21, 25), *range(26, 38)]
_FIXED = {0: b"r", 1: b":", 10: b"-", 15: b"-", 20: b"-", 25: b"-"}
_VERSION, _VARIANT = 16, 21


class Tokens(NamedTuple):
    """Some tokens."""

    made: dict[bytes, bytes]
    """By their value, the packed ids of those whose id Huey has made, one after the other."""
    others: list[Entry]
    """Those of other ids."""

    @property
    def size(self) -> int:
        """How many they are."""
        return sum(map(len, self.made.values())) // ID + len(self.others)


def read_tokens(store: Store) -> Iterator[Tokens]:
    """All tokens, as `Store.entries` reads them; a value that is not fetched comes as ``b""``."""
    quick = pages(store) if isinstance(store, RedisStore) else None
    if quick is None:
        for batch in store.entries(TOKEN):
            yield _grouped(batch)
        return
    for joined, others in quick:
        made: dict[bytes, bytes] = {}
        odd = list(others)
        for value, keys in joined:
            ids = pack(keys)
            if ids is None:
                odd += [Entry(key, value, len(key) + len(value)) for key in _each(keys)]
            else:
                made[value] = ids
        yield _with(made, odd)


def delete_tokens(store: Store, value: bytes, ids: bytes) -> int:
    """Delete the tokens of the packed *ids* that still have *value*; how many had."""
    keys = unpack(ids)
    if isinstance(store, RedisStore):
        return delete(store, value, keys)
    return len(store.compare_and_delete_many([(key, value) for key in _each(keys)]))


def pack(keys: bytes) -> bytes | None:
    """The ids in *keys*, which stand one after the other; None unless Huey has made them all."""
    count, rest = divmod(len(keys), WIDTH)
    if rest or keys != keys.lower():
        return None
    if any(keys[place::WIDTH] != each * count for place, each in _FIXED.items()):
        return None
    if keys[_VERSION::WIDTH] != b"4" * count or keys[_VARIANT::WIDTH].strip(b"89ab"):
        return None
    try:
        ids = bytes.fromhex(keys.translate(None, b"r:-").decode("ascii"))
    except ValueError:
        return None
    return ids if len(ids) == count * ID else None


def unpack(ids: bytes) -> bytes:
    """The keys that `pack` made *ids* of."""
    count, digits = len(ids) // ID, ids.hex().encode("ascii")
    keys = bytearray(count * WIDTH)
    for place, each in _FIXED.items():
        keys[place::WIDTH] = each * count
    for number, place in enumerate(_DIGITS):
        keys[place::WIDTH] = digits[number::32]
    return bytes(keys)


def _grouped(batch: Iterable[Entry]) -> Tokens:
    by_value: dict[bytes, list[bytes]] = {}
    odd: list[Entry] = []
    for entry in batch:
        if len(entry.key) == WIDTH and entry.key.isascii():
            by_value.setdefault(entry.value, []).append(entry.key.encode("ascii"))
        else:
            odd.append(entry)
    made: dict[bytes, bytes] = {}
    for value, keys in by_value.items():
        ids = pack(b"".join(keys))
        if ids is None:
            odd += [Entry(key.decode("ascii"), value, WIDTH + len(value)) for key in keys]
        else:
            made[value] = ids
    return _with(made, odd)


def _with(made: dict[bytes, bytes], odd: list[Entry]) -> Tokens:
    """Of the *odd* ones, some may be of ids that Huey made: they stood among others."""
    others = []
    for entry in odd:
        ids = pack(entry.key.encode("utf-8", "surrogateescape"))
        if ids:
            made[entry.value] = made.get(entry.value, b"") + ids
        else:
            others.append(entry)
    return Tokens(made, others)


def _each(keys: bytes) -> Iterator[str]:
    text = keys.decode("utf-8", "surrogateescape")
    if len(text) == len(keys):
        yield from (text[start : start + WIDTH] for start in range(0, len(text), WIDTH))
        return
    for start in range(0, len(keys), WIDTH):
        yield keys[start : start + WIDTH].decode("utf-8", "surrogateescape")
