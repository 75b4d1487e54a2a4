"""Revoke tokens, read and deleted in bulk.

Nearly all tokens have an id that Huey generated, and one of two values. So tokens are passed around
by value, with each id packed into 16 bytes: a sweep of a million tokens then needs tens of
megabytes, not hundreds. Ids are packed a batch at a time, as one slice assignment or comparison for
each position of a key is many times faster than a loop over keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .keys import TOKEN
from .protocol import Entry, Store

ID_SIZE = 16
MAX_VALUE = 4096
"""Bytes of a value that are more than Huey writes into any token."""

KEY_LENGTH = 38
"""Characters of the key of a token with a generated id: ``r:`` and the id."""

ID_LENGTH = KEY_LENGTH - len(TOKEN)
"""Characters of a generated id."""

# The positions of the 32 digits in such a key, and the characters at the other positions.
_DIGITS = [*range(2, 10), *range(11, 15), *range(16, 20), *range(21, 25), *range(26, 38)]
_FIXED = {0: b"r", 1: b":", 10: b"-", 15: b"-", 20: b"-", 25: b"-"}
_VERSION, _VARIANT = 16, 21


class Tokens(NamedTuple):
    """A batch of tokens."""

    generated: dict[bytes, bytes]
    """For each value, the packed ids of its tokens, one after the other, if Huey generated them."""
    others: list[Entry]
    """The tokens with other ids."""

    @property
    def total(self) -> int:
        """The number of tokens."""
        return sum(map(len, self.generated.values())) // ID_SIZE + len(self.others)


def read_tokens(store: Store) -> Iterator[Tokens]:
    """Yield all tokens of the store; a value of more than `MAX_VALUE` bytes is ``b""``."""
    for batch in store.entries(TOKEN):
        yield _group(batch)


def delete_tokens(store: Store, value: bytes, ids: bytes) -> int:
    """Delete tokens, each only if it still has this value.

    Args:
        store: The store.
        value: The value of the tokens when they were read.
        ids: Their packed ids.

    Returns:
        How many were deleted.
    """
    keys = unpack(ids).decode("ascii")
    starts = range(0, len(keys), KEY_LENGTH)
    pairs = ((keys[start : start + KEY_LENGTH], value) for start in starts)
    return len(store.compare_and_delete_many(pairs))


def pack(keys: bytes) -> bytes | None:
    """Return the packed ids of the tokens' keys, or None unless Huey generated all of them.

    Args:
        keys: Keys, one after the other.
    """
    count, rest = divmod(len(keys), KEY_LENGTH)
    if rest or keys != keys.lower():
        return None
    if any(keys[position::KEY_LENGTH] != char * count for position, char in _FIXED.items()):
        return None
    if keys[_VERSION::KEY_LENGTH] != b"4" * count or keys[_VARIANT::KEY_LENGTH].strip(b"89ab"):
        return None
    try:
        ids = bytes.fromhex(keys.translate(None, b"r:-").decode("ascii"))
    except ValueError:
        return None
    return ids if len(ids) == count * ID_SIZE else None


def pack_ids(ids: Iterable[str]) -> bytes | None:
    """Return the packed ids, or None unless Huey generated all of them.

    Args:
        ids: Texts of `ID_LENGTH` characters of ASCII.
    """
    return pack("".join([TOKEN + text for text in ids]).encode("ascii"))


def unpack(ids: bytes) -> bytes:
    """Return the keys of packed ids; the inverse of `pack`."""
    count, digits = len(ids) // ID_SIZE, ids.hex().encode("ascii")
    keys = bytearray(count * KEY_LENGTH)
    for position, char in _FIXED.items():
        keys[position::KEY_LENGTH] = char * count
    for number, position in enumerate(_DIGITS):
        keys[position::KEY_LENGTH] = digits[number::32]
    return bytes(keys)


def _group(batch: Iterable[Entry]) -> Tokens:
    by_value: dict[bytes, list[Entry]] = {}
    others: list[Entry] = []
    for entry in batch:
        if len(entry.key) == KEY_LENGTH and entry.key.isascii():
            # Foreign: it is kept, and must not fill the memory of a sweep.
            value = entry.value if len(entry.value) <= MAX_VALUE else b""
            by_value.setdefault(value, []).append(entry)
        else:
            others.append(entry)
    generated: dict[bytes, bytes] = {}
    for value, entries in by_value.items():
        ids = pack("".join([entry.key for entry in entries]).encode("ascii"))
        if ids is None:  # at least one has another id of the same length
            packed = [pack(entry.key.encode("ascii")) for entry in entries]
            others += [entry for entry, id_ in zip(entries, packed, strict=True) if id_ is None]
            ids = b"".join(id_ for id_ in packed if id_ is not None)
        if ids:
            generated[value] = ids
    return Tokens(generated, others)
