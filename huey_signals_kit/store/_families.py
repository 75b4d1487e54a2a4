"""Which family a storage belongs to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from huey import storage as storages

from . import _sql
from ._files import FileStore
from ._foreign import ForeignStore
from ._memory import MemoryStore
from ._peewee import PeeweeStore
from ._redis_hash import RedisHashStore
from ._redis_keys import RedisKeysStore
from .protocol import Store

# A subclass that changes one of them keeps its data in a way of its own.
_METHODS = (
    *("put_data", "peek_data", "pop_data", "delete_data", "put_if_empty", "result_items"),
    *("enqueue", "dequeue", "enqueued_items"),
    *("add_to_schedule", "read_schedule", "scheduled_items"),
)

_FAMILIES: dict[str, Callable[[Any], Store]] = {
    "RedisExpireStorage": RedisKeysStore,
    "RedisStorage": RedisHashStore,
    "SqliteStorage": lambda storage: _sql.SqlStore(storage, _sql.sqlite(storage)),
    "PostgresStorage": lambda storage: _sql.SqlStore(storage, _sql.postgres(storage)),
    "FileStorage": FileStore,
    "MemoryStorage": MemoryStore,
}


def open_store(huey: Any) -> Store:
    """The storage that *huey* has now, to be opened anew for each piece of work.

    (Huey takes another one when ``huey.immediate`` is switched.)
    """
    storage = huey.storage
    modules = {_module(getattr(storage, method, None)) for method in _METHODS}
    if modules == {storages.__name__}:
        for name, family in _FAMILIES.items():
            if isinstance(storage, getattr(storages, name, ())):
                return family(storage)
    sql_huey: Any = sys.modules.get("huey.contrib.sql_huey")
    # What that leaves as it is, like delete_data, is the base class's.
    if sql_huey and {sql_huey.__name__} <= modules <= {sql_huey.__name__, storages.__name__}:
        return PeeweeStore(storage)
    return ForeignStore(storage)


def _module(method: Any) -> Any:
    function = getattr(method, "__func__", None)
    return getattr(function, "__globals__", {}).get("__name__")
