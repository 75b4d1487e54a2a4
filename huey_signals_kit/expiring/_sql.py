"""The backends for SQL: the index is rows of the kit's own queue in Huey's table of results.

The key of a row is ``huey-signals:expiring:<due>x<hash>``: short and ASCII, also if the key of the
result is not, and sorted by the time, 15 digits of milliseconds since the epoch. Its value is the
digest of the error and the key of the result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..store import kit_queue, peewee_connected
from ._entry import BATCH, DIGEST_LENGTH, Entry, digest

PREFIX = "huey-signals:expiring:"

_SELECT_DUE = (
    "select key, value from {table} where queue = {placeholder} "
    "and key >= {placeholder} and key < {placeholder} "
    f"order by key limit {BATCH}"
)


@dataclass(frozen=True)
class SqlRows:
    """The backend for ``SqliteStorage`` and ``PostgresStorage``.

    One statement writes the error and its row of the index.
    """

    placeholder: str
    """The text that stands for a parameter in a statement."""
    table: Callable[[Any], str]
    """Returns the name of a storage's table of results."""
    upsert: str
    """The statement that writes rows, with ``{table}`` and ``{rows}``."""
    needs_commit: bool
    """Whether the storage's ``sql`` must be asked to commit."""
    lock_rows: str = ""
    """The end of a query that locks rows and skips those that another process has locked."""
    has_index: ClassVar[bool] = True

    def put(self, storage: Any, entry: Entry) -> None:
        """Write the error and its row, in one statement."""
        result = storage.name, entry.key, entry.value
        self._upsert(storage, [result, _index_row(storage.name, entry)])

    def schedule(self, storage: Any, entry: Entry) -> None:
        """Write the row of an error that is stored already."""
        self._upsert(storage, [_index_row(storage.name, entry)])

    def delete_due(self, storage: Any, now: float) -> bool:
        """Delete errors that are due: a query, and a transaction only if it finds rows."""
        query = self._format(storage, _SELECT_DUE)
        parameters = (kit_queue(storage.name), *_key_bounds(now))
        if not storage.sql(query, parameters, results=True):
            return False
        with storage.db(commit=True) as cursor:
            cursor.execute(query + self.lock_rows, parameters)
            due = _DueErrors(cursor.fetchall())
            if due.rows:
                self._delete(storage, cursor, due)
        return due.has_more

    def _delete(self, storage: Any, cursor: Any, due: _DueErrors) -> None:
        select = self._format(storage, "select key, value from {table} where queue = {placeholder}")
        query = f"{select} and key in ({self._placeholders(len(due.keys))})"
        cursor.execute(query, (storage.name, *due.keys))
        delete = self._format(storage, "delete from {table} where queue = {placeholder}")
        pairs = due.unchanged(cursor.fetchall())
        if pairs:
            rows = ", ".join([f"({self._placeholders(2)})"] * len(pairs))
            parameters = (part for pair in pairs for part in pair)
            # With the value, as it may have been replaced since it was read.
            query = f"{delete} and (key, value) in (values {rows})"
            cursor.execute(query, (storage.name, *parameters))
        query = f"{delete} and key in ({self._placeholders(len(due.rows))})"
        cursor.execute(query, (kit_queue(storage.name), *due.rows))

    def _upsert(self, storage: Any, rows: Sequence[tuple[str, str, bytes]]) -> None:
        placeholders = ", ".join([f"({self._placeholders(3)})"] * len(rows))
        query = self.upsert.format(table=self.table(storage), rows=placeholders)
        parameters = [part for row in rows for part in row]
        storage.sql(query, parameters, self.needs_commit)

    def _format(self, storage: Any, query: str) -> str:
        return query.format(table=self.table(storage), placeholder=self.placeholder)

    def _placeholders(self, count: int) -> str:
        return ", ".join([self.placeholder] * count)


SQLITE = SqlRows(
    placeholder="?",
    table=lambda storage: "kv",
    upsert="insert or replace into {table} (queue, key, value) values {rows}",
    needs_commit=True,
)
POSTGRES = SqlRows(
    placeholder="%s",
    table=lambda storage: str(storage.table_kv),
    upsert=(
        "insert into {table} (queue, key, value) values {rows} "
        "on conflict (queue, key) do update set value = excluded.value"
    ),
    needs_commit=False,
    lock_rows=" for update skip locked",
)


class PeeweeRows:
    """The backend for ``huey.contrib.sql_huey``: the same rows, in peewee's query language."""

    has_index = True

    def put(self, storage: Any, entry: Entry) -> None:
        """Write the error and its row, in one statement."""
        result = storage.name, entry.key, entry.value
        _peewee_upsert(storage, [result, _index_row(storage.name, entry)])

    def schedule(self, storage: Any, entry: Entry) -> None:
        """Write the row of an error that is stored already."""
        _peewee_upsert(storage, [_index_row(storage.name, entry)])

    def delete_due(self, storage: Any, now: float) -> bool:
        """Delete errors that are due: a query, and a transaction only if it finds rows."""
        with peewee_connected(storage):
            if not self._due(storage, now).rows:
                return False
            with getattr(storage, "atomic", storage.database.atomic)():  # before Huey 3.3
                due = self._due(storage, now)
                if due.rows:
                    self._delete(storage, due)
            return due.has_more

    def _due(self, storage: Any, now: float) -> _DueErrors:
        table, (first, end) = storage.KV, _key_bounds(now)
        key, is_own = table.key, table.queue == kit_queue(storage.name)
        query = table.select(key, table.value).where(is_own & (key >= first) & (key < end))
        return _DueErrors(query.order_by(key).limit(BATCH).tuples())

    def _delete(self, storage: Any, due: _DueErrors) -> None:
        table = storage.KV
        stored = storage.kv(table.key, table.value).where(table.key.in_(due.keys)).tuples()
        for key, value in due.unchanged(list(stored)):
            _peewee_delete(storage, storage.name, (table.key == key) & (table.value == value))
        _peewee_delete(storage, kit_queue(storage.name), table.key.in_(due.rows))


def _peewee_delete(storage: Any, queue: str, condition: Any) -> None:
    storage.KV.delete().where((storage.KV.queue == queue) & condition).execute()


def _peewee_upsert(storage: Any, rows: Sequence[tuple[str, str, bytes]]) -> None:
    storage.check_conn()
    table = storage.KV
    records = [{"queue": queue, "key": key, "value": value} for queue, key, value in rows]
    if isinstance(storage.database, sys.modules["peewee"].PostgresqlDatabase):
        query = table.insert_many(records).on_conflict(
            conflict_target=[table.queue, table.key], preserve=[table.value]
        )
    else:
        query = table.replace_many(records)
    query.execute()


class _DueErrors:
    """The rows of the index that a query between `_key_bounds` has found."""

    def __init__(self, rows: Iterable[tuple[str, bytes]]) -> None:
        self.rows: list[str] = []
        """The keys of the rows."""
        self._digests_by_key: dict[str, set[str]] = {}
        count = 0
        for key, value in rows:
            count += 1
            # In a collation that ignores punctuation, other keys may sort between the bounds.
            if key.startswith(PREFIX):
                self.rows.append(key)
                text = bytes(value).decode()
                error_digest, result_key = text[:DIGEST_LENGTH], text[DIGEST_LENGTH:]
                self._digests_by_key.setdefault(result_key, set()).add(error_digest)
        self.has_more = bool(self.rows) and count == BATCH
        """Whether there may be more rows, because the query has found as many as it may."""

    @property
    def keys(self) -> list[str]:
        """The keys of the results."""
        return list(self._digests_by_key)

    def unchanged(self, results: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        """Return those of the stored results that are still the errors that are due."""
        return [
            (key, value)
            for key, value in ((key, bytes(value)) for key, value in results)
            if digest(value) in self._digests_by_key.get(key, ())
        ]


def _index_row(queue: str, entry: Entry) -> tuple[str, str, bytes]:
    """Return queue, key and value of the row for an error of `queue`."""
    name = digest(entry.key.encode("utf-8", "surrogatepass"))
    key, value = f"{_key_at(entry.due_ms)}x{name}", f"{entry.digest}{entry.key}".encode()
    return kit_queue(queue), key, value


def _key_bounds(now: float) -> tuple[str, str]:
    """Return two bounds between which the keys of all rows are that are due.

    A bound and such a key first differ in a digit. Every collation sorts digits alike, though it
    may ignore punctuation and capitals.
    """
    return f"{PREFIX}0", _key_at(round(now * 1000) + 1)


def _key_at(milliseconds: int) -> str:
    return f"{PREFIX}{milliseconds:015d}"
