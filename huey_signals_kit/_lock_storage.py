"""Reads and deletes the values of locks, also where a storage can do no more than Huey asks."""

from __future__ import annotations

from typing import Any

from huey.constants import EmptyData

from ._failures import is_away
from .ledger import BARE, try_holder
from .store import Reader, Store


class BareLocks:
    """What a `LockDesk` needs of a store, for locks that were taken as Huey does: by key alone."""

    def __init__(self, huey: Any) -> None:
        self._huey = huey

    def delete_same(self, key: str, value: bytes) -> bool:
        """By now it may be a lock that names its holder."""
        return self.get([key]) != [None] and bool(self._huey.delete(key))

    def get(self, keys: list[str]) -> list[bytes | None]:
        """`BARE` for those that may still be what was taken."""
        return [BARE if names_nobody(self._huey, key) else None for key in keys]


def names_nobody(huey: Any, key: str) -> bool:
    """Return whether there is a lock, and its value does not say who holds it."""
    try:
        raw = huey.storage.peek_data(key)
        return raw is not EmptyData and try_holder(Reader(huey).value(raw)) is None
    except Exception as exc:
        if is_away(exc):
            raise
        return True  # unreadable, or a storage that cannot peek


def delete_taken(store: Store, key: str, raw: bytes) -> bool:
    """Delete the lock if it still has the value `raw`; return whether it had.

    Where the storage refuses to compare and delete in one step, it is done in two; where it cannot
    be read either, the key is deleted as Huey does. Between two steps another process may free the
    lock and take it again: a risk of one round trip, which Huey runs as long as it holds a lock.
    """
    try:
        return store.delete_same(key, raw)
    except Exception as exc:
        if raw == BARE or is_away(exc):
            raise
    try:
        found = store.get([key])
    except Exception as exc:
        if is_away(exc):
            raise
    else:
        if found != [raw]:
            return False
    return bool(store.delete([key]))
