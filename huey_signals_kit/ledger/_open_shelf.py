"""Open the values of a ledger, on whatever storage they lie."""

from __future__ import annotations

from typing import Any

from ..store import LEDGER, REDIS, family_of, open_kit_store
from ._redis import RedisShelf
from ._shelf import Shelf, StoreShelf


def open_shelf(huey: Any, storage: Any = None) -> Shelf:
    """Open the values of the ledger of the queue of `huey`.

    Args:
        huey: The Huey, for its serializer and its storage.
        storage: Another storage object of the same kind, as with a connection of its own.
    """
    storage = huey.storage if storage is None else storage
    family = family_of(storage)
    if family is not None and family.name in REDIS:
        return RedisShelf(storage)
    return StoreShelf(open_kit_store(huey, LEDGER, storage))
