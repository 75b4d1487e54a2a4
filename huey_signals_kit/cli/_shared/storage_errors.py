"""Storages as they are told to people, and what they raise when they cannot be used."""

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
from .redact import without_secrets
from .terminal import shown

# The packages that storages are made of; none of them is imported for this.
_ERRORS = (
    ("psycopg", "Error"),
    ("psycopg2", "Error"),
    ("peewee", "PeeweeException"),
    ("cysqlite", "Error"),
    ("cysqlite", "OperationalError"),
)
_LONGEST = 300


def is_storage_error(exc: BaseException) -> bool:
    """Whether a storage of Huey's raises this when it cannot be used."""
    found = [getattr(sys.modules.get(module), name, None) for module, name in _ERRORS]
    known = tuple(each for each in found if isinstance(each, type))
    return isinstance(exc, (OSError, sqlite3.Error, RedisError, ConfigurationError, *known))


def describe_storage(storage: Any) -> str:
    """*storage* in words, without any secret."""
    pool = getattr(storage, "pool", None)
    given = getattr(pool, "connection_kwargs", None)
    if isinstance(given, dict):
        return _redis(given)
    kind = type(storage).__name__
    if (filename := getattr(storage, "filename", None)) is not None:
        return f"the SQLite file {filename}"
    if hasattr(storage, "dsn"):
        return _postgres(storage)
    if (path := getattr(storage, "path", None)) is not None:
        return f"the folder {path}"
    if (database := getattr(storage, "database", None)) is not None:
        return f"the database {getattr(database, 'database', None) or type(database).__name__}"
    return f"the {kind}"


def _redis(given: dict[str, Any]) -> str:
    if path := given.get("path"):
        return f"the Redis at unix://{path}"
    host, port = given.get("host") or "localhost", given.get("port") or 6379
    return f"the Redis at {host}:{port}/{given.get('db') or 0}"


def _postgres(storage: Any) -> str:
    parts = {k: v for k, v in storage.connection_params.items() if k in ("host", "port", "dbname")}
    named = storage.dsn or " ".join(f"{key}={value}" for key, value in parts.items())
    return f"the Postgres at {without_secrets(str(named))}" if named else "the Postgres"


def record_place(huey: Any, name: str) -> str:
    """Return where the record `name` of the ledger of `huey` is stored."""
    family = family_of(huey.storage)
    if family is not None and family.name in REDIS:
        return f"{name} in the Redis hash {redis_key('ledger', huey.storage.name)}"
    return f"{name} in the kit's own data"


def reason(exc: BaseException) -> str:
    """What *exc* says, on one line, without any secret."""
    text = " ".join(str(exc).split()).rstrip(".") or type(exc).__name__
    text = shown(without_secrets(text))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def storage_in(traceback: TracebackType | None) -> Any:
    """The storage whose method raised, found in the frames of a traceback; or None."""
    found = None
    while traceback is not None:
        each = traceback.tb_frame.f_locals.get("self")
        if isinstance(each, BaseStorage):
            found = each
        traceback = traceback.tb_next
    return found


@contextmanager
def storage_errors(huey: Any) -> Iterator[None]:
    """A storage that cannot be used ends the command, with its name and what it said."""
    try:
        yield
    except Stopped as exc:
        raise failure(huey, exc.__cause__ or exc, _done(exc)) from None
    except UnsupportedStorage as exc:
        raise CommandError(shown(exc)) from None
    except BrokenPipeError:
        raise  # our own output
    except Exception as exc:
        if _is_output(exc):
            raise CommandError(f"cannot write the output: {reason(exc)}") from None
        if not is_failure(huey, exc):
            raise
        raise failure(huey, exc) from None


def _is_output(exc: Exception) -> bool:
    full = isinstance(exc, OSError) and exc.errno == errno.ENOSPC and exc.filename is None
    return full and storage_in(exc.__traceback__) is None


def is_failure(huey: Any, exc: BaseException) -> bool:
    """Whether *exc* says that the storage of *huey* cannot be used: any may where it is unknown."""
    return is_storage_error(exc) or _is_foreign(huey)


def failure(huey: Any, exc: BaseException, done: str = "") -> CommandError:
    """What to end with when the storage of *huey* has raised *exc*."""
    if isinstance(exc, UnsupportedStorage) or not is_failure(huey, exc):
        return CommandError(f"{reason(exc)}{done}")
    return CommandError(f"cannot use {describe_storage(huey.storage)}: {reason(exc)}{done}")


def _done(exc: Stopped) -> str:
    deleted = 0 if exc.report.dry_run else exc.report.deleted
    return f"; until then {exc.report.scanned:,} keys were read and {deleted:,} deleted"


def _is_foreign(huey: Any) -> bool:
    return open_store(huey).name.startswith("unknown")
