"""Open the values of a ledger, on any storage."""

from __future__ import annotations

from typing import Any

from ..store import LEDGER, REDIS, family_of, open_kit_store, open_store
from ._backend import PREFIX, PROCESS, LedgerBackend, StoreBackend
from ._record import Heartbeat, try_load
from ._redis_backend import RedisBackend


def open_backend(huey: Any, storage: Any = None) -> LedgerBackend:
    """Open the values of the ledger of the queue of `huey`.

    Args:
        huey: The Huey, for its serializer and its storage.
        storage: Another storage object of the same kind, such as with its own connection.
    """
    storage = huey.storage if storage is None else storage
    family = family_of(storage)
    if family is not None and family.name in REDIS:
        return RedisBackend(storage)
    return StoreBackend(open_kit_store(huey, LEDGER, storage))


def older_records(huey: Any) -> list[Heartbeat]:
    """Return the records that version 0.1 left among the results, unless their process is dead.

    On Redis both versions use the same place, so there are none to find.
    """
    family = family_of(huey.storage)
    if family is not None and family.name in REDIS:
        return []
    batches = open_store(huey).entries(PREFIX + PROCESS)
    records = (try_load(entry.value) for batch in batches for entry in batch)
    return [
        each
        for each in records
        if each is not None
        and not each.sealed
        and not each.stale_after
        and each.place.is_alive() is not False
    ]
