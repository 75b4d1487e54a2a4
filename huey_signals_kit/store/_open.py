"""The family of a storage, and so the backend that opens it.

A user may have subclassed one of Huey's storages. If the subclass still keeps its data as its
parent does, the parent's backend reads it; if it overrides a method that reads results or messages,
only that method can read them, so `GenericStore` calls it. What a method belongs to is decided by
the module of its function, because a wrapper or a mixin may have put it there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from huey import storage as storages

from .backends import sql
from .backends.files import FileStore
from .backends.generic import GenericStore
from .backends.memory import MemoryStore
from .backends.peewee import PeeweeStore
from .backends.redis_hash import RedisHashStore
from .backends.redis_keys import RedisKeysStore
from .protocol import Store

# Backends do not call these methods. A subclass that overrides one may keep its results in another
# format, so that only the subclass itself can read them.
_READS_RESULTS = ("peek_data", "pop_data", "delete_data", "result_items")
_READS_QUEUE = ("enqueued_items", "scheduled_items")
_METHODS = (
    *_READS_RESULTS,
    *("put_data", "put_if_empty"),
    *("enqueue", "dequeue", "enqueued_items"),
    *("add_to_schedule", "read_schedule", "scheduled_items"),
)


class Family(NamedTuple):
    """A class of storages that keep their data in the same way."""

    name: str
    """The name of Huey's storage class."""

    open: Callable[[Any], Store]
    """Returns the `Store` of a storage."""

    attributes: tuple[str, ...]
    """Attributes that a storage must have, so that the kit can access its data directly."""


_REDIS = ("result_key", "queue_key", "schedule_key")
_CLIENT_METHODS = ("evalsha", "pipeline", "hget", "hdel")
_FAMILIES = (
    Family("RedisExpireStorage", RedisKeysStore, ("result_prefix", *_REDIS)),
    Family("RedisStorage", RedisHashStore, _REDIS),
    Family(
        "SqliteStorage",
        lambda storage: sql.SqlStore(storage, sql.sqlite(storage)),
        ("sql", "db"),
    ),
    Family(
        "PostgresStorage",
        lambda storage: sql.SqlStore(storage, sql.postgres(storage)),
        ("sql", "db", "table_kv"),
    ),
    Family("FileStorage", FileStore, ("result_path", "path_for_key", "lock")),
    Family("MemoryStorage", MemoryStore, ("_results", "_lock")),
)
_PEEWEE = Family("SqlStorage", PeeweeStore, ("database", "KV"))
REDIS = ("RedisExpireStorage", "RedisStorage")
"""The names of the families on Redis."""


def family_of(storage: Any) -> Family | None:
    """Return the family of a storage, also of a subclass that overrides some of its methods.

    It is None if the kit does not know the class, if attributes are missing (as with another client
    for Redis), or if all methods are overridden, so that the connection may not be used at all.
    """
    sql_huey: Any = sys.modules.get("huey.contrib.sql_huey")
    if sql_huey is not None and isinstance(storage, sql_huey.SqlStorage):
        return _if_same(storage, _PEEWEE, sql_huey.__name__)
    for family in _FAMILIES:
        if isinstance(storage, getattr(storages, family.name, ())):
            return _if_same(storage, family, storages.__name__)
    return None


def _if_same(storage: Any, family: Family, module: str) -> Family | None:
    """Return the family if the storage keeps its data as the class of Huey in `module` does."""
    has_hueys_method = any(_module(storage, method) == module for method in _METHODS)
    has_attributes = all(hasattr(storage, name) for name in family.attributes)
    if family.name in REDIS:
        conn = getattr(storage, "conn", None)
        has_attributes = has_attributes and all(hasattr(conn, name) for name in _CLIENT_METHODS)
    return family if has_hueys_method and has_attributes else None


def open_store(huey: Any) -> Store:
    """Return the store of the storage that `huey` has now.

    Open it again for each piece of work: setting ``huey.immediate`` replaces the storage.
    """
    storage, family = huey.storage, family_of(huey.storage)
    if family is None or _overrides(storage, _READS_RESULTS):
        return GenericStore(storage)
    store: Any = family.open(storage)
    if _overrides(storage, _READS_QUEUE):
        generic = GenericStore(storage)
        for method in ("queued", "scheduled", "queue_ends", "next_scheduled"):
            setattr(store, method, getattr(generic, method))
    opened: Store = store
    return opened


def is_shared(storage: Any) -> bool:
    """Return whether another process can read what is written to `storage`."""
    return not isinstance(storage, (storages.MemoryStorage, storages.BlackHoleStorage))


def close_connection(storage: Any) -> None:
    """Close the connection of a storage that a forked child would share with this process.

    That is the one connection of an SQL storage, for all threads; if another thread is using it, it
    stays open, as without the kit. A Redis client opens its own connection in the child. Before
    Huey 3, each thread has a connection of its own.

    Args:
        storage: The storage; the next call of a method connects again.
    """
    lock: Any = getattr(storage, "lock", None)
    is_sql = isinstance(storage, getattr(storages, "BaseSqlStorage", ()))
    if is_sql and hasattr(lock, "acquire") and lock.acquire(blocking=False):
        try:
            if storage._conn is not None:
                storage._conn.close()
                storage._conn = None
        finally:
            lock.release()


def is_read_whole(store: Store) -> bool:
    """Return whether a search for keys by prefix reads all results, or all their names."""
    return isinstance(store, (GenericStore, FileStore))


def _overrides(storage: Any, methods: tuple[str, ...]) -> bool:
    """Return whether one of these methods of `storage` is not Huey's own."""
    modules = {_module(storage, method) for method in methods}
    return not modules <= {storages.__name__, "huey.contrib.sql_huey"}


def _module(storage: Any, method: str) -> Any:
    """Return the name of the module in which the function of a method is defined."""
    function = getattr(getattr(storage, method, None), "__func__", None)
    return getattr(function, "__globals__", {}).get("__name__")
