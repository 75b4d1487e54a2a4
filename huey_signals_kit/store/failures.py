"""Names of storages for messages, and errors that mean that a storage cannot be used."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import suppress
from typing import Any

from huey.exceptions import ConfigurationError

from ._open import open_store
from .redact import redact

_ERROR_CLASSES = (
    ("redis", "RedisError"),
    ("psycopg", "Error"),
    ("psycopg2", "Error"),
    ("peewee", "PeeweeException"),
    ("cysqlite", "Error"),
    ("cysqlite", "OperationalError"),
)
"""Modules of storages and their errors. The modules are not imported: only used ones can raise."""


def is_storage_error(exc: BaseException) -> bool:
    """Return whether a storage of Huey raises `exc` when it cannot be used."""
    optional = [getattr(sys.modules.get(module), name, None) for module, name in _ERROR_CLASSES]
    classes = tuple(cls for cls in optional if isinstance(cls, type))
    return isinstance(exc, (OSError, sqlite3.Error, ConfigurationError, *classes))


def describe_storage(storage: Any) -> str:
    """Return the kind and the place of `storage`, without passwords."""
    pool = getattr(storage, "pool", None)
    connection = getattr(pool, "connection_kwargs", None)
    if isinstance(connection, dict):
        return _describe_redis(connection)
    if (filename := getattr(storage, "filename", None)) is not None:
        return f"the SQLite file {_real_path(filename)}"
    if hasattr(storage, "dsn"):
        return _describe_postgres(storage)
    if (path := getattr(storage, "path", None)) is not None:
        return f"the folder {_real_path(path)}"
    if (database := getattr(storage, "database", None)) is not None:
        name = getattr(database, "database", None) or type(database).__name__
        return f"the database {redact(str(name))}"
    return f"the {type(storage).__name__}"


def _real_path(path: Any) -> str:
    text = os.fspath(path) if isinstance(path, os.PathLike) else str(path)
    if text.startswith((":memory:", "file:")):
        return text
    with suppress(OSError):  # the working folder is gone
        return os.path.realpath(text)
    return text


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


def is_storage_failure(huey: Any, exc: BaseException) -> bool:
    """Return whether `exc` means that the storage of `huey` cannot be used.

    Any exception counts if the storage is not one of Huey's: its errors are unknown.
    """
    return is_storage_error(exc) or _is_generic(huey)


def _is_generic(huey: Any) -> bool:
    """Return whether the storage of `huey` is none that the kit knows."""
    return open_store(huey).name.startswith("unknown")
