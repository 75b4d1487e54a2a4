"""``huey.contrib.sql_huey``: the same statements as elsewhere in SQL, over peewee's connection."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .sql import Dialect, SqlStore


class PeeweeStore(SqlStore):
    """Any database that peewee knows."""

    def __init__(self, storage: Any) -> None:
        super().__init__(_Connection(storage), _dialect(storage))


class _Connection:
    """A storage of peewee's with the two calls that Huey's own SQL storages have."""

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
        # Huey's own is BEGIN IMMEDIATE on SQLite, since 3.3.
        with connected(storage), getattr(storage, "atomic", storage.database.atomic)():
            yield storage.database.cursor()


@contextmanager
def connected(storage: Any) -> Iterator[None]:
    """Within a connection; one that was opened here is not to stay, or keep one of a pool.

    Each thread has one of its own.
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
    quote = f"{database.quote[0]}{{}}{database.quote[1]}".format
    kv, schedule, task = (
        quote(model._meta.table_name) for model in (storage.KV, storage.Schedule, storage.Task)
    )
    is_sqlite = isinstance(database, sys.modules["peewee"].SqliteDatabase)
    return Dialect(
        name=f"peewee ({type(database).__name__})",
        slot=database.param,
        returning=isinstance(database, sys.modules["peewee"].PostgresqlDatabase),
        kv=kv,
        schedule=schedule,
        task=task,
        key=quote("key"),
        queue="+queue" if is_sqlite else "queue",
    )
