"""Describe the stored result of a task in a few words."""

from __future__ import annotations

from typing import Any

from huey.utils import Error

from ...huey_internals.django_records import FAILED, SUCCESSFUL, parse_record
from ...huey_internals.django_tasks import module_path
from ...store import Reader, Unreadable, children
from ...store.reader import Opaque
from ..errors import class_of
from .model import StoredResult

MAX_LENGTH = 200
"""The number of characters of a text; of a longer value only the class and the size are given."""


def read_result(reader: Reader, raw: bytes) -> StoredResult:
    """Return a description of a stored value.

    Args:
        reader: The reader of the Huey.
        raw: The stored value.
    """
    try:
        value = reader.value(raw)
    except Unreadable:
        return StoredResult("unreadable", len(raw))
    if not isinstance(value, Error):
        return StoredResult("value", len(raw), _class_name(value), _text(value))
    metadata = value.metadata if isinstance(value.metadata, dict) else {}
    text, of_task = metadata.get("error"), metadata.get("task_id")
    return StoredResult(
        "error",
        len(raw),
        class_of(value),
        text if isinstance(text, str) and len(text) <= MAX_LENGTH else None,
        of_task if isinstance(of_task, str) else None,
    )


def read_django_record(reader: Reader, raw: bytes, task_id: str) -> tuple[StoredResult, str | None]:
    """Return a description of the record of a Django task, and the name of the task.

    Args:
        reader: The reader of the Huey.
        raw: The stored record.
        task_id: The id of the task.
    """
    try:
        record = parse_record(reader.value(raw), task_id)
    except Unreadable:
        record = None
    if record is None:
        return StoredResult("unreadable", len(raw)), None
    name = module_path((record.fields.get("task_path"),))
    if record.status == SUCCESSFUL:
        value = record.fields.get("return_value")
        return StoredResult("value", len(raw), _class_name(value), _text(value)), name
    if record.status == FAILED:
        return StoredResult("error", len(raw), record.error_class), name
    return StoredResult("status", len(raw), text=record.status), name


def _class_name(value: Any) -> str:
    if not isinstance(value, Opaque):
        return type(value).__name__
    return value.name if value.module == "builtins" else f"{value.module}.{value.name}"


def _text(value: Any) -> str | None:
    if isinstance(value, Opaque) or not _is_short(value):
        return None
    try:
        text = repr(value)
    except Exception:  # an object made by a user's serializer
        return None
    return text if len(text) <= MAX_LENGTH else None


def _is_short(value: Any) -> bool:
    """Return whether the `repr` of a value is short, without making it.

    A small pickle can contain an object that refers to the same parts millions of times, and its
    `repr` would not end. So the parts are counted as often as they would be written.
    """
    rest, written = [value], 0
    while rest:
        part = rest.pop()
        written += len(part) if isinstance(part, (str, bytes, bytearray)) else 1
        written += part.bit_length() if isinstance(part, int) else 0
        rest.extend(children(part))
        if written + len(rest) > 4 * MAX_LENGTH:
            return False
    return True
