"""``huey.contrib.sql_huey``: the same rows as elsewhere in SQL, by peewee."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ..store import kit_queue, peewee_connected
from ._entry import BATCH, Entry
from ._index_rows import Due, bounds, index_row


class PeeweeRows:
    """The error and its row are written by one statement."""

    def put(self, storage: Any, entry: Entry) -> None:
        """One statement, as Huey's own."""
        row = storage.name, entry.key, entry.value
        _upsert(storage, [row, index_row(storage.name, entry)])

    def schedule(self, storage: Any, entry: Entry) -> None:
        """One statement."""
        _upsert(storage, [index_row(storage.name, entry)])

    def delete_due(self, storage: Any, now: float) -> bool:
        """One query on the primary key; a transaction only if it finds something."""
        with peewee_connected(storage):
            if not _due(storage, now).rows:
                return False
            with getattr(storage, "atomic", storage.database.atomic)():  # Huey 3.2
                due = _due(storage, now)
                _remove(storage, due)
            return due.more


def _due(storage: Any, now: float) -> Due:
    table, (first, last) = storage.KV, bounds(now)
    key, own = table.key, table.queue == kit_queue(storage.name)
    query = table.select(key, table.value).where(own & (key >= first) & (key < last))
    return Due(query.order_by(key).limit(BATCH).tuples())


def _remove(storage: Any, due: Due) -> None:
    table = storage.KV
    if not due.rows:
        return
    found = storage.kv(table.key, table.value).where(table.key.in_(due.keys)).tuples()
    for key, value in due.unchanged(list(found)):
        _delete(storage, storage.name, (table.key == key) & (table.value == value))
    _delete(storage, kit_queue(storage.name), table.key.in_(due.rows))


def _delete(storage: Any, queue: str, which: Any) -> None:
    storage.KV.delete().where((storage.KV.queue == queue) & which).execute()


def _upsert(storage: Any, rows: Sequence[tuple[str, str, bytes]]) -> None:
    storage.check_conn()
    table = storage.KV
    written = [{"queue": queue, "key": key, "value": value} for queue, key, value in rows]
    if isinstance(storage.database, sys.modules["peewee"].PostgresqlDatabase):
        query = table.insert_many(written).on_conflict(
            conflict_target=[table.queue, table.key], preserve=[table.value]
        )
    else:
        query = table.replace_many(written)
    query.execute()
