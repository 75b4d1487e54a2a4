"""The errors of a command whose storage cannot be used."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from huey.storage import BaseStorage

from ...store import REDIS, UnsupportedStorage, family_of, redis_key
from ...store.failures import describe_storage, is_storage_error, is_storage_failure
from ...store.redact import redact
from ...upkeep import Stopped
from .exits import CommandError
from .terminal import printable

__all__ = [
    "describe_error",
    "describe_record",
    "describe_storage",
    "find_storage",
    "is_storage_error",
    "is_storage_failure",
    "storage_errors",
    "storage_failure",
]

_MAX_CHARACTERS = 300


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
    return text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 1] + "…"


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
