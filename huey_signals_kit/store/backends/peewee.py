"""The backend for ``huey.contrib.sql_huey``: the statements of `SqlStore` over peewee."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .sql import Dialect, SqlStore


class PeeweeStore(SqlStore):
    """A `Store` on any database that peewee supports."""

    def __init__(self, storage: Any) -> None:
        super().__init__(_Connection(storage), _dialect(storage))


class _Connection:
    """An ``SqlStorage`` with the methods ``sql`` and ``db`` of Huey's other SQL storages."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self.name = storage.name
        self.put_data = connected(storage)(storage.put_data)
        self.put_if_empty = connected(storage)(storage.put_if_empty)

    def sql(self, query: str, parameters: Sequence[Any], results: bool) -> list[Any]:
        with connected(self._storage):
            return list(self._storage.database.execute_sql(query, parameters).fetchall())

    @contextmanager
    def db(self, commit: bool) -> Iterator[Any]:
        storage = self._storage
        # Since Huey 3.3 a storage has a transaction of its own, BEGIN IMMEDIATE on SQLite.
        with connected(storage), getattr(storage, "atomic", storage.database.atomic)():
            yield storage.database.cursor()


@contextmanager
def connected(storage: Any) -> Iterator[None]:
    """Keep this thread's connection open for the block.

    A connection that was opened for the block is closed after it. Otherwise threads of the kit
    would hold connections that they rarely use, or keep them from a pool.
    """
    was_closed = storage.database.is_closed()
    storage.check_conn()
    try:
        yield
    finally:
        if was_closed:
            storage.database.close()


def _dialect(storage: Any) -> Dialect:
    database = storage.database
    opening, closing = database.quote
    quote = f"{opening}{{}}{closing}".format
    kv, schedule, task = (
        quote(model._meta.table_name) for model in (storage.KV, storage.Schedule, storage.Task)
    )
    is_sqlite = isinstance(database, sys.modules["peewee"].SqliteDatabase)
    return Dialect(
        name=f"peewee ({type(database).__name__})",
        placeholder=database.param,
        has_returning=isinstance(database, sys.modules["peewee"].PostgresqlDatabase),
        kv=kv,
        schedule=schedule,
        task=task,
        key=quote("key"),
        queue="+queue" if is_sqlite else "queue",
    )
