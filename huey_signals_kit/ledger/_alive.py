"""Write ``alive:<id>`` of a process over a separate connection, from a native thread.

Where gevent has patched threads, the scheduler is a greenlet, and a task that does not yield keeps
it from running: in a test of 6 seconds it wrote no heartbeat at all. A native thread with one
connection of its own wrote 76 in 40 seconds, with a longest gap of 0.6 seconds. These limits come
from what was tried:

- It must not use Huey's connection pool: greenlets of the application then fail with "Cannot switch
  to a different thread". So it connects with the arguments of Huey's connection, but without
  Huey's client or pool.
- It must take no lock that other code can take: if gevent has patched that lock, all greenlets
  stop.
- It must not log: a child that is forked meanwhile inherits a held lock of `logging`. With logging,
  72 to 91 of 150 forked children failed, without it none.

A full Redis (``maxmemory`` with ``noeviction``) refuses SET and HSET, but allows locks to be
deleted. So a living process that cannot write its heartbeat could lose its locks. But a script that
first calls HDEL, even of nothing, may then HSET, so the value is written by such a script.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from ..store import LEDGER, REDIS, Script, family_of, kit_queue, open_kit_store, redis_key
from ._backend import ALIVE, PREFIX

TIMEOUT_SECONDS = 5.0
"""Timeout of connecting, sending and reading."""

# The deletion comes first: after it a script may write even if the server is full.
_PUT_SCRIPT = Script("""\
redis.call('hdel', KEYS[1], '')
redis.call('hset', KEYS[1], ARGV[1], ARGV[2])
return 1""")


class AliveWriter(Protocol):
    """A writer of one value of the ledger, over a connection of its own."""

    def write(self, value: bytes) -> None:
        """Write the value; connect first if there is no connection."""

    def remove(self) -> None:
        """Delete the value."""

    def close(self) -> None:
        """Close the connection."""


def alive_writer(huey: Any, process_id: str) -> AliveWriter | None:
    """Return a writer of ``alive:<process_id>``, not yet connected; None if it is impossible.

    It is impossible for a storage that the kit does not know, and where other code may use the same
    connection: one from the user's own function, or from a pool of peewee.

    Args:
        huey: The Huey.
        process_id: The id of the record that the value belongs to.
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
        self._address = key, field

    def write(self, value: bytes) -> None:
        """Write by a script, which works on a full server; by HSET if scripts are refused."""
        arguments = 1, *self._address, value
        call, load = ("EVALSHA", _PUT_SCRIPT.sha, *arguments), ("SCRIPT", "LOAD", _PUT_SCRIPT.text)
        for commands in ([call], [load, call], [("EVAL", _PUT_SCRIPT.text, *arguments)]):
            if self._try(commands):
                return
        self._send("HSET", *self._address, value)

    def _try(self, commands: list[tuple[Any, ...]]) -> bool:
        """Send the commands; return False if one of them was refused."""
        try:
            for command in commands:
                self._send(*command)
        except Exception as exc:
            if not _is_refusal(exc):
                raise
            return False
        return True

    def remove(self) -> None:
        """Delete the field."""
        self._send("HDEL", *self._address)

    def close(self) -> None:
        """Close this connection; the pool is not touched."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def _send(self, *command: Any) -> None:
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
    """Return whether the server has answered, with an error."""
    return any(cls.__name__ == "ResponseError" for cls in type(exc).__mro__)


def _redis_connector(pool: Any) -> Callable[[], Any]:
    """Return a function that makes a connection with the arguments of `pool`."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # Without maintenance notifications: they log if the server does not know them.
    given = {name: value for name, value in pool.connection_kwargs.items() if "maint_" not in name}
    limits = {
        name: min(given.get(name) or TIMEOUT_SECONDS, TIMEOUT_SECONDS)
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
    arguments = [sentinel.connection_pool.connection_kwargs for sentinel in manager.sentinels]
    addresses = [(each["host"], each["port"]) for each in arguments]
    own = type(manager)(
        addresses,
        manager.min_other_sentinels,
        {**manager.sentinel_kwargs, "socket_timeout": TIMEOUT_SECONDS},
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
        self._address = queue, key

    def write(self, value: bytes) -> None:
        """Insert or update the row."""
        self._run(self._put, (*self._address, value))

    def remove(self) -> None:
        """Delete the row."""
        self._run(self._delete, self._address)

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
    """Return the function that connects, and the statements that write and delete a row.

    Args:
        storage: The storage of the Huey.
        family: The name of its class in Huey.
    """
    if family == "SqlStorage":
        return _peewee_sql(storage)
    if family == "PostgresStorage":
        if storage.connection is not None:
            return None
        return storage._create_connection, *_statements(storage.table_kv, "%s", conflict=True)
    return storage._create_connection, *_statements("kv", "?", conflict=False)


def _statements(table: str, mark: str, conflict: bool, quote: str = '"') -> tuple[str, str]:
    """Return the statements that write and delete a row.

    Args:
        table: The name of the table.
        mark: The placeholder of a value.
        conflict: Whether the database has ``on conflict`` instead of ``replace``.
        quote: The character that quotes names.
    """
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
    conflict = any("Postgres" in cls.__name__ for cls in type(database).__mro__)
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
