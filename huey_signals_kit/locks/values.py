"""Read and delete the values of locks, also on storages with only the methods that Huey needs."""

from __future__ import annotations

from typing import Any

from huey.constants import EmptyData

from ..runtime.log import is_unreachable
from ..store import Reader, Store
from .held import ANONYMOUS
from .holder import parse_holder


class AnonymousLocks:
    """The store of a `LockManager` for locks that were acquired as Huey does, without a holder."""

    def __init__(self, huey: Any) -> None:
        self._huey = huey

    def compare_and_delete(self, key: str, value: bytes) -> bool:
        """Delete the lock, unless its value names a holder: then another process has it."""
        return self.get([key]) != [None] and bool(self._huey.delete(key))

    def get(self, keys: list[str]) -> list[bytes | None]:
        """Return, for each key, `ANONYMOUS` if the lock exists and names no holder, else None."""
        return [ANONYMOUS if is_anonymous(self._huey, key) else None for key in keys]


def is_anonymous(huey: Any, key: str) -> bool:
    """Return whether the lock exists and its value names no holder."""
    try:
        raw = huey.storage.peek_data(key)
        return raw is not EmptyData and parse_holder(Reader(huey).value(raw)) is None
    except Exception as exc:
        if is_unreachable(exc):
            raise
        return True  # unreadable, or a storage that cannot peek


def delete_acquisition(store: Store, key: str, raw: bytes) -> bool:
    """Delete the lock if it still has the value `raw`; return whether it had.

    Where the storage refuses to compare and delete in one step, the value is read first and the
    key deleted second; where the value cannot be read either, the key is deleted as Huey does.
    Between the two steps another process may acquire the lock and lose it here. That window is
    one round trip; in bare Huey it is the whole time that a lock is held.
    """
    try:
        return store.compare_and_delete(key, raw)
    except Exception as exc:
        if raw == ANONYMOUS or is_unreachable(exc):
            raise
    try:
        values = store.get([key])
    except Exception as exc:
        if is_unreachable(exc):
            raise
    else:
        if values != [raw]:
            return False
    return bool(store.delete([key]))
