"""``SqliteStorage`` and ``PostgresStorage``: a row of the results' own table says what is due."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..store import kit_queue
from ._entry import BATCH, Entry
from ._index_rows import Due, bounds, index_row

_DUE = (
    "select key, value from {table} where queue = {slot} and key >= {slot} and key < {slot} "
    f"order by key limit {BATCH}"
)


@dataclass(frozen=True)
class SqlRows:
    """One dialect: the error and its row are written by one statement."""

    slot: str
    """What stands for a parameter."""
    table: Callable[[Any], str]
    upsert: str
    commit: bool
    """Whether the storage's connection does not commit by itself."""
    claim: str = ""
    """Keeps other processes from the rows that are being removed."""

    def put(self, storage: Any, entry: Entry) -> None:
        """One statement, as Huey's own."""
        row = storage.name, entry.key, entry.value
        self._upsert(storage, [row, index_row(storage.name, entry)])

    def schedule(self, storage: Any, entry: Entry) -> None:
        """One statement."""
        self._upsert(storage, [index_row(storage.name, entry)])

    def delete_due(self, storage: Any, now: float) -> bool:
        """One query on the primary key; a transaction only if it finds something."""
        query, where = self._filled(storage, _DUE), (kit_queue(storage.name), *bounds(now))
        if not storage.sql(query, where, results=True):
            return False
        with storage.db(commit=True) as cursor:
            cursor.execute(query + self.claim, where)
            due = Due(cursor.fetchall())
            if due.rows:
                self._remove(storage, cursor, due)
        return due.more

    def _remove(self, storage: Any, cursor: Any, due: Due) -> None:
        query = self._filled(storage, "select key, value from {table} where queue = {slot}")
        cursor.execute(f"{query} and key in ({self._slots(due.keys)})", (storage.name, *due.keys))
        delete = self._filled(storage, "delete from {table} where queue = {slot}")
        pairs = due.unchanged(cursor.fetchall())
        if pairs:
            rows = ", ".join([f"({self.slot}, {self.slot})"] * len(pairs))
            parameters = (part for pair in pairs for part in pair)
            # With the value: it may have been replaced since it was read.
            query = f"{delete} and (key, value) in (values {rows})"
            cursor.execute(query, (storage.name, *parameters))
        query = f"{delete} and key in ({self._slots(due.rows)})"
        cursor.execute(query, (kit_queue(storage.name), *due.rows))

    def _upsert(self, storage: Any, rows: Sequence[tuple[str, str, bytes]]) -> None:
        places = ", ".join([f"({self._slots('...')})"] * len(rows))
        query = self.upsert.format(table=self.table(storage), rows=places)
        parameters = [part for row in rows for part in row]
        storage.sql(query, parameters, self.commit)

    def _filled(self, storage: Any, query: str) -> str:
        return query.format(table=self.table(storage), slot=self.slot)

    def _slots(self, for_each: Sequence[object]) -> str:
        return ", ".join([self.slot] * len(for_each))


SQLITE = SqlRows(
    slot="?",
    table=lambda storage: "kv",
    upsert="insert or replace into {table} (queue, key, value) values {rows}",
    commit=True,
)
POSTGRES = SqlRows(
    slot="%s",
    table=lambda storage: str(storage.table_kv),
    upsert=(
        "insert into {table} (queue, key, value) values {rows} "
        "on conflict (queue, key) do update set value = excluded.value"
    ),
    commit=False,
    claim=" for update skip locked",
)
