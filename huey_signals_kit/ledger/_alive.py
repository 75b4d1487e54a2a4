"""Writes ``alive:<id>`` of a process over a connection of its own, for a native thread.

Nothing here takes a lock that other code can take, or logs: see `NativeHeartbeat`. So connections
are made of the arguments of Huey's own, past its client and its pool.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from ..store import LEDGER, REDIS, Script, family_of, kit_queue, open_kit_store, redis_key
from ._shelf import ALIVE, PREFIX

SECONDS = 5.0
"""How long a connection may hang."""

# A deletion first: after one a script may write on a server that is full.
_PUT = Script("""\
redis.call('hdel', KEYS[1], '')
redis.call('hset', KEYS[1], ARGV[1], ARGV[2])
return 1""")


class AliveWriter(Protocol):
    """One value in the ledger."""

    def write(self, value: bytes) -> None:
        """Write it; the first call, and one after a failure, connects."""

    def remove(self) -> None:
        """Delete it."""

    def close(self) -> None:
        """Disconnect."""


def alive_writer(huey: Any, process_id: str) -> AliveWriter | None:
    """Return what writes ``alive:<process_id>``, not connected; None if the kit cannot tell how.

    That is so on a storage that the kit does not know, and where a connection may be shared with
    others: one that the user's own function gives, or a pooled one of peewee.
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
        """By a script, which a full server lets write; plainly where scripts are refused."""
        arguments = 1, *self._place, value
        call, load = ("EVALSHA", _PUT.sha, *arguments), ("SCRIPT", "LOAD", _PUT.text)
        for commands in ([call], [load, call], [("EVAL", _PUT.text, *arguments)]):
            if self._answers(commands):
                return
        self._ask("HSET", *self._place, value)

    def _answers(self, commands: list[tuple[Any, ...]]) -> bool:
        """Send the commands; return whether none of them was refused."""
        try:
            for command in commands:
                self._ask(*command)
        except Exception as exc:
            if not _is_refusal(exc):
                raise
            return False
        return True

    def remove(self) -> None:
        """One command."""
        self._ask("HDEL", *self._place)

    def close(self) -> None:
        """Only this connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def _ask(self, *command: Any) -> None:
        if self._connection is None:
            self._connection = self._connect()
        try:
            self._connection.connect()  # unless it is: only so it asks the sentinels
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

    # A connection with notifications of maintenance logs when the server does not know them.
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
    return lambda: own.make_connection()  # which refers to its pool only weakly


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
    """A row of Huey's own table, under the queue of the kit."""

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
        """One statement."""
        self._run(self._put, (*self._place, value))

    def remove(self) -> None:
        """One statement."""
        self._run(self._delete, self._place)

    def close(self) -> None:
        """Only this connection."""
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
    """Return how to connect, and the statements that write and delete a row."""
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

    Written without Huey's lock, which a child that is forked meanwhile would hold while it lives.
    """

    def __init__(self, store: Any, key: str) -> None:
        self._store = store
        self._key = key

    def write(self, value: bytes) -> None:
        """As a whole."""
        self._store.put_unlocked(self._key, value)

    def remove(self) -> None:
        """Delete it if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(self._store.path(self._key))

    def close(self) -> None:
        """Nothing is open."""
