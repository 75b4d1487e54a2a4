"""Writes ``alive:<id>`` of a process over a separate connection, for a native thread.

This module shares no lock with other code, and never logs: see `NativeHeartbeat`. So it connects
with the arguments of Huey's connection, but without Huey's client or pool.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from ..store import LEDGER, REDIS, Script, family_of, kit_queue, open_kit_store, redis_key
from ._backend import ALIVE, PREFIX

SECONDS = 5.0
"""Timeout of a connection, in seconds."""

# A deletion first: after it a script may write even if the server is full.
_PUT = Script("""\
redis.call('hdel', KEYS[1], '')
redis.call('hset', KEYS[1], ARGV[1], ARGV[2])
return 1""")


class AliveWriter(Protocol):
    """Writes one value of the ledger."""

    def write(self, value: bytes) -> None:
        """Write the value; connect first if there is no connection."""

    def remove(self) -> None:
        """Delete the value."""

    def close(self) -> None:
        """Close the connection."""


def alive_writer(huey: Any, process_id: str) -> AliveWriter | None:
    """Return a writer of ``alive:<process_id>``, not yet connected; None if there is none.

    There is none for a storage that the kit does not know, and where other code may use the same
    connection: one from the user's own function, or from a pool of peewee.
    """
    storage, field = huey.storage, ALIVE + process_id
    family = family_of(storage)
    if family is None:
        return None
    if family.name in REDIS:
        pool = getattr(storage.conn, "connection_pool", None)
        return None if pool is None else _RedisField(pool, redis_key("ledger", storage.name), field)
    if family.name == "FileStorage":
        return _File(open_kit_store(huey, LEDGER, storage), PREFIX + field)
    sql = _sql_of(storage, family.name)
    if sql is None:
        return None
    return _SqlRow(*sql, kit_queue(storage.name), PREFIX + field, family.name == "SqlStorage")


class _RedisField:
    """A field of the ledger's hash."""

    def __init__(self, pool: Any, key: str, field: str) -> None:
        self._connect = _redis_connector(pool)
        self._connection: Any = None
        self._place = key, field

    def write(self, value: bytes) -> None:
        """Write by a script, which works on a full server; by HSET if scripts are refused."""
        arguments = 1, *self._place, value
        call, load = ("EVALSHA", _PUT.sha, *arguments), ("SCRIPT", "LOAD", _PUT.text)
        for commands in ([call], [load, call], [("EVAL", _PUT.text, *arguments)]):
            if self._answers(commands):
                return
        self._ask("HSET", *self._place, value)

    def _answers(self, commands: list[tuple[Any, ...]]) -> bool:
        """Send the commands; return False if one of them was refused."""
        try:
            for command in commands:
                self._ask(*command)
        except Exception as exc:
            if not _is_refusal(exc):
                raise
            return False
        return True

    def remove(self) -> None:
        """Delete the field."""
        self._ask("HDEL", *self._place)

    def close(self) -> None:
        """Close this connection; the pool is not touched."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def _ask(self, *command: Any) -> None:
        if self._connection is None:
            self._connection = self._connect()
        try:
            self._connection.connect()  # no-op if connected; only this call asks the sentinels
            self._connection.send_command(*command)
            self._connection.read_response()
        except BaseException as exc:
            if not _is_refusal(exc):
                self.close()
            raise


def _is_refusal(exc: BaseException) -> bool:
    return any(each.__name__ == "ResponseError" for each in type(exc).__mro__)


def _redis_connector(pool: Any) -> Callable[[], Any]:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # Without maintenance notifications: they log if the server does not know them.
    given = {name: value for name, value in pool.connection_kwargs.items() if "maint_" not in name}
    limits = {
        name: min(given.get(name) or SECONDS, SECONDS)
        for name in ("socket_timeout", "socket_connect_timeout")
    }
    options = {**given, **limits, "retry": Retry(NoBackoff(), 0), "health_check_interval": 0}
    manager = getattr(pool, "sentinel_manager", None)

    if manager is None:
        return lambda: pool.connection_class(**options)
    options.pop("connection_pool", None)
    own = _own_sentinel_pool(pool, manager, options)
    # The function keeps the pool alive: a connection has only a weak reference to it.
    return lambda: own.make_connection()


def _own_sentinel_pool(pool: Any, manager: Any, options: dict[str, Any]) -> Any:
    known = [each.connection_pool.connection_kwargs for each in manager.sentinels]
    addresses = [(each["host"], each["port"]) for each in known]
    own = type(manager)(
        addresses,
        manager.min_other_sentinels,
        {**manager.sentinel_kwargs, "socket_timeout": SECONDS},
        **manager.connection_kwargs,
    )
    kind = {"connection_class": pool.connection_class, "is_master": pool.is_master}
    return type(pool)(pool.service_name, own, **kind, **options)


class _SqlRow:
    """A row of Huey's table of results, under the queue of the kit."""

    def __init__(
        self, connect: Callable[[], Any], put: str, delete: str, queue: str, key: str, commits: bool
    ) -> None:
        self._connect = connect
        self._commits = commits
        self._connection: Any = None
        self._put = put
        self._delete = delete
        self._place = queue, key

    def write(self, value: bytes) -> None:
        """Insert or update the row."""
        self._run(self._put, (*self._place, value))

    def remove(self) -> None:
        """Delete the row."""
        self._run(self._delete, self._place)

    def close(self) -> None:
        """Close this connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _run(self, statement: str, values: tuple[Any, ...]) -> None:
        if self._connection is None:
            self._connection = self._connect()
        try:
            cursor = self._connection.cursor()
            cursor.execute(statement, values)
            cursor.close()
            if self._commits:
                self._connection.commit()
        except BaseException:
            self.close()
            raise


def _sql_of(storage: Any, family: str) -> tuple[Callable[[], Any], str, str] | None:
    """Return the function that connects, and the statements that write and delete a row."""
    if family == "SqlStorage":
        return _peewee_sql(storage)
    if family == "PostgresStorage":
        if storage.connection is not None:
            return None
        return storage._create_connection, *_statements(storage.table_kv, "%s", conflict=True)
    return storage._create_connection, *_statements("kv", "?", conflict=False)


def _statements(table: str, mark: str, conflict: bool, quote: str = '"') -> tuple[str, str]:
    queue, key, value = (f"{quote}{name}{quote}" for name in ("queue", "key", "value"))
    verb = "insert" if conflict else "replace"
    put = f"{verb} into {table} ({queue}, {key}, {value}) values ({mark}, {mark}, {mark})"
    if conflict:
        put += f" on conflict ({queue}, {key}) do update set {value} = excluded.{value}"
    return put, f"delete from {table} where {queue} = {mark} and {key} = {mark}"


def _peewee_sql(storage: Any) -> tuple[Callable[[], Any], str, str] | None:
    database, table = storage.database, storage.KV._meta.table_name
    if hasattr(database, "_heap") or database.deferred:
        return None
    quote = database.quote[0]
    conflict = any("Postgres" in each.__name__ for each in type(database).__mro__)
    put, delete = _statements(f"{quote}{table}{quote}", database.param, conflict, quote)
    return database._connect, put, delete


class _File:
    """A file in the kit's folder.

    Written without Huey's lock, which a child forked meanwhile would hold all its life.
    """

    def __init__(self, store: Any, key: str) -> None:
        self._store = store
        self._key = key

    def write(self, value: bytes) -> None:
        """Replace the file."""
        self._store.put_unlocked(self._key, value)

    def remove(self) -> None:
        """Delete the file if it exists."""
        with suppress(FileNotFoundError):
            os.unlink(self._store.path(self._key))

    def close(self) -> None:
        """Do nothing: no file is open."""
