"""The backend for ``SqliteStorage``, ``CySqliteStorage`` and ``PostgresStorage``.

Every statement is short and every transaction has few rows, so that workers never wait for long:
SQLite has one lock for all writers. Tables are read in pages by key or by id, not with a cursor
that stays open.

Searching by prefix is the hard part, because the column's collation is not known. Many collations
ignore punctuation and capitals at first, so ``key >= 'r:' and key < 's'`` may miss keys.
`key_range` finds two bounds that hold in every collation; the keys between them are then filtered
by their exact prefix, in SQL and again here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

from ..protocol import BATCH, Entry
from .batches import as_text, chunks, fetch_in_batches, make_entry

T = TypeVar("T")
R = TypeVar("R")

_SMALL = 4096
"""Bytes up to which a value is read together with its key."""

_MAX_PARAMETERS = 500
"""Keys in one statement; SQLite may allow only 999 parameters."""

_MIN_ROWS, _FIRST_ROWS, _MAX_ROWS = 10, 100, 500
"""Rows deleted in one transaction."""
_QUICK, _SLOW = 0.01, 0.03
"""Seconds: after a quicker transaction the next has more rows, after a slower one fewer."""
_LONGEST_PAUSE = 0.1

# A letter whose successor follows it in every alphabet (in some, y and z sort beside i and s, and q
# beside k), before a character that no alphabet combines with it to one letter.
_SAFE_LETTER = re.compile(r"[a-or-u](?=[!-/:-@\[-`{-~])")


@dataclass(frozen=True)
class Dialect:
    """The differences between SQL databases."""

    name: str
    placeholder: str
    """The text that stands for a parameter in a statement."""
    has_returning: bool
    """Whether DELETE can return the rows that it deleted."""
    kv: str = "kv"
    schedule: str = "schedule"
    task: str = "task"
    key: str = "key"
    """The column ``key``, quoted where the word is reserved, as in MySQL."""
    queue: str = "queue"
    """The column ``queue``; on SQLite as ``+queue``, so that its index is not used and pages of
    messages are read in the order of ids."""


def sqlite(storage: Any) -> Dialect:
    """Return the dialect of a ``SqliteStorage``."""
    return Dialect("sqlite", "?", has_returning=False, queue="+queue")


def postgres(storage: Any) -> Dialect:
    """Return the dialect of a ``PostgresStorage``, whose tables may have a prefix."""
    tables = (storage.table_kv, storage.table_schedule, storage.table_task)
    return Dialect("postgres", "%s", True, *tables)


class SqlStore:
    """A `Store` on a storage with the methods ``sql`` and ``db`` of Huey's SQL storages."""

    newest_first = False

    def __init__(self, storage: Any, dialect: Dialect) -> None:
        self.name = dialect.name
        self._storage = storage
        self._has_returning = dialect.has_returning
        self._names = vars(dialect)

    def entries(self, prefix: str = "") -> Iterator[list[Entry]]:
        """Yield entries: pages of keys with their small values, then the large values."""
        small = f"case when length(value) <= {_SMALL} then value end"
        for rows in self._pages(f"{{key}}, length(value), {small}", prefix):
            entries = [
                make_entry(as_text(key), 0, _as_bytes(value))
                for key, _, value in rows
                if value is not None
            ]
            if entries:
                yield entries
            large = ((key, size) for key, size, value in rows if value is None)
            for batch in fetch_in_batches(large, self._values):
                yield [make_entry(as_text(key), size, value) for key, size, value in batch]

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """Yield keys, in pages of the primary key."""
        for rows in self._pages("{key}", prefix):
            yield [as_text(key) for key, *_ in rows]

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values, with one query for each `_MAX_PARAMETERS` keys."""
        values = self._values(keys)
        return [values.get(key) for key in keys]

    def put(self, key: str, value: bytes) -> None:
        """Write a value, as Huey does."""
        self._storage.put_data(key, value)

    def put_if_absent(self, key: str, value: bytes) -> bool:
        """Write a value if the key is missing, as Huey does."""
        return bool(self._storage.put_if_empty(key, value))

    def delete(self, keys: Iterable[str]) -> int:
        """Delete the keys in short transactions, each followed by a pause of the same length."""

        def delete(cursor: Any, chunk: list[str]) -> int:
            query = "delete from {kv} where queue = {placeholder} and {key} in ({placeholders})"
            cursor.execute(self._format(query, len(chunk)), (self._storage.name, *chunk))
            return int(cursor.rowcount)

        return sum(self._in_transactions(delete, keys))

    def compare_and_delete(self, key: str, value: bytes) -> bool:
        """Delete the key if it has this value, in one statement."""
        return bool(self.compare_and_delete_many([(key, value)]))

    def compare_and_delete_many(self, pairs: Iterable[tuple[str, bytes]]) -> list[str]:
        """Delete the pairs in transactions as `delete` does; return the deleted keys."""
        delete = self._delete_returning if self._has_returning else self._delete_each
        return list(chain.from_iterable(self._in_transactions(delete, pairs)))

    def _delete_each(self, cursor: Any, pairs: list[tuple[str, bytes]]) -> list[str]:
        query = "delete from {kv} where queue = {placeholder}"
        query = self._format(query + " and {key} = {placeholder} and value = {placeholder}")
        deleted = []
        for key, value in pairs:
            cursor.execute(query, (self._storage.name, key, value))
            if cursor.rowcount == 1:
                deleted.append(key)
        return deleted

    def _delete_returning(self, cursor: Any, pairs: list[tuple[str, bytes]]) -> list[str]:
        rows = ", ".join(["({placeholder}, {placeholder})"] * len(pairs))
        query = "delete from {kv} where queue = {placeholder}"
        query += f" and ({{key}}, value) in (values {rows}) returning {{key}}"
        parameters = (part for pair in pairs for part in pair)
        cursor.execute(self._format(query), (self._storage.name, *parameters))
        return [key for key, *_ in cursor.fetchall()]

    def compare_and_set(self, key: str, old: bytes, new: bytes) -> bool:
        """Write `new` if the value is `old`, in one statement."""
        query = "update {kv} set value = {placeholder} where queue = {placeholder}"
        query += " and {key} = {placeholder} and value = {placeholder}"
        with self._storage.db(commit=True) as cursor:
            cursor.execute(self._format(query), (new, self._storage.name, key, old))
            return bool(cursor.rowcount == 1)

    def queued(self) -> Iterator[list[bytes]]:
        """Yield the messages of the queue, in pages by id."""
        return self._messages("task")

    def scheduled(self) -> Iterator[list[bytes]]:
        """Yield the messages of the schedule, in pages by id."""
        return self._messages("schedule")

    def queue_ends(self) -> list[bytes]:
        """Return the first and the last message, with two queries."""
        return [
            *self._first("task", "priority desc, id"),
            *self._first("task", "priority, id desc"),
        ]

    def next_scheduled(self) -> bytes | None:
        """Return the message with the earliest time."""
        return next(iter(self._first("schedule", "timestamp, id")), None)

    def _first(self, table: str, order: str) -> list[bytes]:
        query = f"select data from {{{table}}} where {{queue}} = {{placeholder}}"
        rows = self._query(f"{query} order by {order} limit 1", (self._storage.name,))
        return [_as_bytes(data) for (data,) in rows]

    def _pages(self, columns: str, prefix: str) -> Iterator[list[Any]]:
        condition, parameters, last_key = self._prefix_condition(prefix)
        comparison = ">="
        while True:
            query = f"select {columns} from {{kv}} where queue = {{placeholder}}"
            query += f" and {{key}} {comparison} {{placeholder}}{condition}"
            query += f" order by {{key}} limit {BATCH}"
            rows = self._query(query, (self._storage.name, last_key, *parameters))
            # A collation may take capitals and small letters as equal.
            if matching := [row for row in rows if as_text(row[0]).startswith(prefix)]:
                yield matching
            if len(rows) < BATCH:
                return
            last_key, comparison = rows[-1][0], ">"

    def _prefix_condition(self, prefix: str) -> tuple[str, tuple[str, ...], str]:
        """Return an SQL condition, its parameters, and the key at which to start."""
        if not prefix:
            return "", (), ""
        condition = f" and substr({{key}}, 1, {len(prefix)}) = {{placeholder}}"
        bounds = key_range(prefix)
        if bounds is None:
            return condition, (prefix,), ""
        first, end = bounds
        return condition + " and {key} < {placeholder}", (prefix, end), first

    def _values(self, keys: Sequence[Any]) -> dict[Any, bytes]:
        query = "select {key}, value from {kv}"
        query += " where queue = {placeholder} and {key} in ({placeholders})"
        return self._blobs(query, keys, self._storage.name)

    def _messages(self, table: str) -> Iterator[list[bytes]]:
        def messages(ids: list[int]) -> dict[int, bytes]:
            query = f"select id, data from {{{table}}} where id in ({{placeholders}})"
            return self._blobs(query, ids)

        query = f"select id, length(data) from {{{table}}} where {{queue}} = {{placeholder}}"
        query += f" and id > {{placeholder}} order by id limit {BATCH}"
        last_id = -1
        while rows := self._query(query, (self._storage.name, last_id)):
            for batch in fetch_in_batches([(row_id, size) for row_id, size in rows], messages):
                yield [message or b"" for _, _, message in batch]
            last_id = rows[-1][0]

    def _blobs(self, query: str, names: Sequence[Any], *parameters: Any) -> dict[Any, bytes]:
        blobs: dict[Any, bytes] = {}
        for chunk in chunks(names, _MAX_PARAMETERS):
            rows = self._query(query, (*parameters, *chunk), len(chunk))
            blobs.update((name, _as_bytes(blob)) for name, blob in rows)
        return blobs

    def _query(self, query: str, parameters: Sequence[Any], placeholders: int = 0) -> list[Any]:
        return list(self._storage.sql(self._format(query, placeholders), parameters, results=True))

    def _format(self, query: str, placeholders: int = 0) -> str:
        joined = ", ".join([self._names["placeholder"]] * placeholders)
        return query.format(**self._names, placeholders=joined)

    def _in_transactions(
        self, work: Callable[[Any, list[T]], R], items: Iterable[T]
    ) -> Iterator[R]:
        """Run `work` on chunks of the items, each in a transaction; yield what it returns.

        The number of rows adapts to the speed of the database, and after each transaction comes a
        pause that is as long as it took, so that other writers get at least half of the time.

        Args:
            work: Called with a cursor and a chunk.
            items: The items.
        """
        iterator = iter(items)
        rows = _FIRST_ROWS
        chunk = list(islice(iterator, rows))
        while chunk:
            start = time.monotonic()
            with self._storage.db(commit=True) as cursor:
                answer = work(cursor, chunk)
            duration = time.monotonic() - start
            yield answer
            if duration > _SLOW:
                rows = max(_MIN_ROWS, rows // 2)
            elif duration < _QUICK:
                rows = min(_MAX_ROWS, rows * 2)
            chunk = list(islice(iterator, rows))
            if chunk:
                time.sleep(min(duration, _LONGEST_PAUSE))


def key_range(prefix: str) -> tuple[str, str] | None:
    """Return two bounds between which all keys that begin with `prefix` sort, or None.

    The bounds hold in every collation, and there may be other keys between them. Collations compare
    punctuation and capitals last, but each distinguishes two keys by the first letter that
    differs. So both bounds end at a letter of the prefix, and the second has the next letter.
    """
    if not prefix.isascii():
        return None
    ends = [match.end() for match in _SAFE_LETTER.finditer(prefix)]
    if not ends:
        return None
    first = prefix[: ends[-1]]
    return first, f"{first[:-1]}{chr(ord(first[-1]) + 1)}"


def _as_bytes(blob: Any) -> bytes:
    return blob.encode() if isinstance(blob, str) else bytes(blob)
