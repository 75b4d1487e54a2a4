"""Names of storages for messages, and errors that mean that a storage cannot be used."""

from __future__ import annotations

import errno
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from huey.exceptions import ConfigurationError
from huey.storage import BaseStorage
from redis import RedisError

from ...store import REDIS, UnsupportedStorage, family_of, open_store, redis_key
from ...upkeep import Stopped
from .exits import CommandError
from .redact import redact
from .terminal import printable

_ERROR_CLASSES = (
    ("psycopg", "Error"),
    ("psycopg2", "Error"),
    ("peewee", "PeeweeException"),
    ("cysqlite", "Error"),
    ("cysqlite", "OperationalError"),
)
"""Modules of storages and their errors. The modules are not imported: only used ones can raise."""

_MOST_CHARACTERS = 300


def is_storage_error(exc: BaseException) -> bool:
    """Return whether a storage of Huey raises `exc` when it cannot be used."""
    optional = [getattr(sys.modules.get(module), name, None) for module, name in _ERROR_CLASSES]
    classes = tuple(cls for cls in optional if isinstance(cls, type))
    return isinstance(exc, (OSError, sqlite3.Error, RedisError, ConfigurationError, *classes))


def describe_storage(storage: Any) -> str:
    """Return the kind and the place of `storage`, without passwords."""
    pool = getattr(storage, "pool", None)
    connection = getattr(pool, "connection_kwargs", None)
    if isinstance(connection, dict):
        return _describe_redis(connection)
    if (filename := getattr(storage, "filename", None)) is not None:
        return f"the SQLite file {filename}"
    if hasattr(storage, "dsn"):
        return _describe_postgres(storage)
    if (path := getattr(storage, "path", None)) is not None:
        return f"the folder {path}"
    if (database := getattr(storage, "database", None)) is not None:
        return f"the database {getattr(database, 'database', None) or type(database).__name__}"
    return f"the {type(storage).__name__}"


def _describe_redis(connection: dict[str, Any]) -> str:
    if path := connection.get("path"):
        return f"the Redis at unix://{path}"
    host, port = connection.get("host") or "localhost", connection.get("port") or 6379
    return f"the Redis at {host}:{port}/{connection.get('db') or 0}"


def _describe_postgres(storage: Any) -> str:
    params = storage.connection_params
    parts = [f"{key}={value}" for key, value in params.items() if key in ("host", "port", "dbname")]
    address = storage.dsn or " ".join(parts)
    return f"the Postgres at {redact(str(address))}" if address else "the Postgres"


def describe_record(huey: Any, name: str) -> str:
    """Return where the record `name` of the ledger of `huey` is stored."""
    family = family_of(huey.storage)
    if family is not None and family.name in REDIS:
        return f"{name} in the Redis hash {redis_key('ledger', huey.storage.name)}"
    return f"{name} in the kit's own data"


def describe_error(exc: BaseException) -> str:
    """Return the text of `exc` on one line, shortened and without passwords."""
    text = " ".join(str(exc).split()).rstrip(".") or type(exc).__name__
    text = printable(redact(text))
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def find_storage(traceback: TracebackType | None) -> Any:
    """Return the storage whose method raised, from the frames of a traceback, or None."""
    storage = None
    while traceback is not None:
        owner = traceback.tb_frame.f_locals.get("self")
        if isinstance(owner, BaseStorage):
            storage = owner
        traceback = traceback.tb_next
    return storage


@contextmanager
def storage_errors(huey: Any) -> Iterator[None]:
    """Turn an error of the storage of `huey` into a `CommandError` that names the storage.

    Not a full disk under the output of the command, a closed pipe or a bug of the kit, although a
    storage can raise the same exceptions.
    """
    try:
        yield
    except Stopped as exc:
        raise storage_failure(huey, exc.__cause__ or exc, _describe_work_done(exc)) from None
    except UnsupportedStorage as exc:
        raise CommandError(printable(exc)) from None
    except BrokenPipeError:
        raise  # from writing the output
    except Exception as exc:
        if _is_output_error(exc):
            raise CommandError(f"cannot write the output: {describe_error(exc)}") from None
        if not is_storage_failure(huey, exc):
            raise
        raise storage_failure(huey, exc) from None


def _is_output_error(exc: Exception) -> bool:
    is_full = isinstance(exc, OSError) and exc.errno == errno.ENOSPC and exc.filename is None
    return is_full and find_storage(exc.__traceback__) is None


def is_storage_failure(huey: Any, exc: BaseException) -> bool:
    """Return whether `exc` means that the storage of `huey` cannot be used.

    Any exception counts if the storage is not one of Huey's: its errors are unknown.
    """
    return is_storage_error(exc) or _is_generic(huey)


def storage_failure(huey: Any, exc: BaseException, work_done: str = "") -> CommandError:
    """Return the error that ends a command after the storage of `huey` raised `exc`.

    Args:
        huey: The Huey.
        exc: What its storage raised.
        work_done: What the command had done before, appended to the message.
    """
    if isinstance(exc, UnsupportedStorage) or not is_storage_failure(huey, exc):
        return CommandError(f"{describe_error(exc)}{work_done}")
    storage = describe_storage(huey.storage)
    return CommandError(f"cannot use {storage}: {describe_error(exc)}{work_done}")


def _describe_work_done(exc: Stopped) -> str:
    deleted = 0 if exc.report.dry_run else exc.report.deleted
    return f"; before that, {exc.report.scanned:,} keys were read and {deleted:,} deleted"


def _is_generic(huey: Any) -> bool:
    """Return whether the storage of `huey` is none that the kit knows."""
    return open_store(huey).name.startswith("unknown")
