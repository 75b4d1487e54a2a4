"""``SqliteStorage``, ``CySqliteStorage``, ``PostgresStorage``: pages by key, short transactions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

from ..protocol import BATCH, Entry
from .batches import as_text, chunks, entry, fetched
from .key_ranges import key_range

T = TypeVar("T")
R = TypeVar("R")

_SMALL = 4096
"""Bytes up to which a value comes with the page that it is on."""

_ROWS = (10, 100, 500)
"""Rows deleted in one transaction: the fewest, those of the first, and the most."""
_QUICK, _SLOW = 0.01, 0.03
"""Seconds: after a quicker one the next has more rows, after a slower one fewer."""


@dataclass(frozen=True)
class Dialect:
    """What differs between one SQL and another."""

    name: str
    slot: str
    """What stands for a parameter."""
    returning: bool
    """Whether a deletion can say what it deleted."""
    kv: str = "kv"
    schedule: str = "schedule"
    task: str = "task"
    key: str = "key"
    """The column; the word is reserved in MySQL."""
    queue: str = "queue"
    """The column, written so that pages by id are read in the order of ids."""


def sqlite(storage: Any) -> Dialect:
    """The tables of a ``SqliteStorage``."""
    return Dialect("sqlite", "?", returning=False, queue="+queue")


def postgres(storage: Any) -> Dialect:
    """The tables of a ``PostgresStorage``, whose names may have a prefix."""
    names = (storage.table_kv, storage.table_schedule, storage.table_task)
    return Dialect("postgres", "%s", True, *names)


class SqlStore:
    """Every statement is short; none holds a lock while something else is done."""

    atomic = True
    newest_first = False

    def __init__(self, storage: Any, dialect: Dialect) -> None:
        self.name = dialect.name
        self._storage = storage
        self._returning = dialect.returning
        self._names = vars(dialect)

    def entries(self, prefix: str = "") -> Iterator[list[Entry]]:
        """Pages of the primary key with the small values; the large ones then, as many as fit."""
        small = f"case when length(value) <= {_SMALL} then value end"
        for rows in self._pages(f"{{key}}, length(value), {small}", prefix):
            found = [entry(as_text(key), 0, _bytes(row)) for key, _, row in rows if row is not None]
            if found:
                yield found
            large = ((key, size) for key, size, row in rows if row is None)
            for batch in fetched(large, self._values):
                yield [entry(as_text(key), size, value) for key, size, value in batch]

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """Pages of the primary key alone."""
        for rows in self._pages("{key}", prefix):
            yield [as_text(key) for key, *_ in rows]

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """A query for each 500, as SQLite may take no more parameters than 999."""
        found = self._values(keys)
        return [found.get(key) for key in keys]

    def put(self, key: str, value: bytes) -> None:
        """As Huey does."""
        self._storage.put_data(key, value)

    def put_if_absent(self, key: str, value: bytes) -> bool:
        """As Huey does."""
        return bool(self._storage.put_if_empty(key, value))

    def delete(self, keys: Iterable[str]) -> int:
        """Short transactions, each followed by as long a pause, so that others get theirs."""

        def delete(cursor: Any, some: list[str]) -> int:
            query = "delete from {kv} where queue = {slot} and {key} in ({slots})"
            cursor.execute(self._filled(query, len(some)), (self._storage.name, *some))
            return int(cursor.rowcount)

        return sum(self._in_transactions(delete, keys))

    def compare_and_delete(self, key: str, value: bytes) -> bool:
        """One statement."""
        return bool(self.compare_and_delete_many([(key, value)]))

    def compare_and_delete_many(self, pairs: Iterable[tuple[str, bytes]]) -> list[str]:
        """Transactions as for `delete`."""
        delete = self._at_once if self._returning else self._each
        return list(chain.from_iterable(self._in_transactions(delete, pairs)))

    def _each(self, cursor: Any, pairs: list[tuple[str, bytes]]) -> list[str]:
        query = "delete from {kv} where queue = {slot} and {key} = {slot} and value = {slot}"
        query = self._filled(query)
        deleted = []
        for key, value in pairs:
            cursor.execute(query, (self._storage.name, key, value))
            if cursor.rowcount == 1:
                deleted.append(key)
        return deleted

    def _at_once(self, cursor: Any, pairs: list[tuple[str, bytes]]) -> list[str]:
        rows = ", ".join(["({slot}, {slot})"] * len(pairs))
        query = f"delete from {{kv}} where queue = {{slot}} and ({{key}}, value) in (values {rows})"
        parameters = (part for pair in pairs for part in pair)
        cursor.execute(self._filled(query + " returning {key}"), (self._storage.name, *parameters))
        return [key for key, *_ in cursor.fetchall()]

    def compare_and_set(self, key: str, old: bytes, new: bytes) -> bool:
        """One statement."""
        query = "update {kv} set value = {slot}"
        query += " where queue = {slot} and {key} = {slot} and value = {slot}"
        with self._storage.db(commit=True) as cursor:
            cursor.execute(self._filled(query), (new, self._storage.name, key, old))
            return bool(cursor.rowcount == 1)

    def queued(self) -> Iterator[list[bytes]]:
        """Pages by id: what stays keeps it."""
        return self._messages("task")

    def scheduled(self) -> Iterator[list[bytes]]:
        """Pages by id."""
        return self._messages("schedule")

    def _pages(self, columns: str, prefix: str) -> Iterator[list[Any]]:
        where, given, last = self._range(prefix)
        compared = ">="
        while True:
            query = f"select {columns} from {{kv}} where queue = {{slot}}"
            query += f" and {{key}} {compared} {{slot}}{where} order by {{key}} limit {BATCH}"
            rows = self._query(query, (self._storage.name, last, *given))
            # A collation may find a key alike that has capitals.
            if found := [row for row in rows if as_text(row[0]).startswith(prefix)]:
                yield found
            if len(rows) < BATCH:
                return
            last, compared = rows[-1][0], ">"

    def _range(self, prefix: str) -> tuple[str, tuple[str, ...], Any]:
        if not prefix:
            return "", (), ""
        where = f" and substr({{key}}, 1, {len(prefix)}) = {{slot}}"
        bounds = key_range(prefix)
        if bounds is None:
            return where, (prefix,), ""
        return where + " and {key} < {slot}", (prefix, bounds[1]), bounds[0]

    def _values(self, keys: Sequence[Any]) -> dict[Any, bytes]:
        query = "select {key}, value from {kv} where queue = {slot} and {key} in ({slots})"
        return self._blobs(query, keys, self._storage.name)

    def _messages(self, table: str) -> Iterator[list[bytes]]:
        def data(ids: list[int]) -> dict[int, bytes]:
            return self._blobs(f"select id, data from {{{table}}} where id in ({{slots}})", ids)

        page = f"select id, length(data) from {{{table}}} where {{queue}} = {{slot}}"
        page += f" and id > {{slot}} order by id limit {BATCH}"
        last = -1
        while rows := self._query(page, (self._storage.name, last)):
            for batch in fetched([(number, size) for number, size in rows], data):
                yield [message or b"" for _, _, message in batch]
            last = rows[-1][0]

    def _blobs(self, query: str, names: Sequence[Any], *given: Any) -> dict[Any, bytes]:
        found: dict[Any, bytes] = {}
        for chunk in chunks(names, 500):
            rows = self._query(query, (*given, *chunk), len(chunk))
            found.update((name, _bytes(blob)) for name, blob in rows)
        return found

    def _query(self, query: str, parameters: Sequence[Any], slots: int = 0) -> list[Any]:
        return list(self._storage.sql(self._filled(query, slots), parameters, results=True))

    def _filled(self, query: str, slots: int = 0) -> str:
        return query.format(**self._names, slots=", ".join([self._names["slot"]] * slots))

    def _in_transactions(
        self, work: Callable[[Any, list[T]], R], items: Iterable[T]
    ) -> Iterator[R]:
        source = iter(items)
        fewest, rows, most = _ROWS
        some = list(islice(source, rows))
        while some:
            start = time.monotonic()
            with self._storage.db(commit=True) as cursor:
                done = work(cursor, some)
            took = time.monotonic() - start
            yield done
            if took > _SLOW:
                rows = max(fewest, rows // 2)
            elif took < _QUICK:
                rows = min(most, rows * 2)
            some = list(islice(source, rows))
            if some:
                time.sleep(min(took, 0.1))


def _bytes(blob: Any) -> bytes:
    return blob.encode() if isinstance(blob, str) else bytes(blob)
