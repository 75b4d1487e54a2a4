"""Describe the stored result of a task in a few words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from huey.utils import Error

from ...huey_internals.django_records import FAILED, SUCCESSFUL, DjangoRecord, parse_record
from ...huey_internals.django_tasks import module_path
from ...store import Reader, Unreadable, children
from ...store.reader import Opaque
from ..errors import class_of
from .model import Arguments, StoredResult
from .nested import read_arguments

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


def read_django_record(
    reader: Reader, raw: bytes, task_id: str
) -> tuple[StoredResult, str | None, Arguments | None]:
    """Return a description of the record of a Django task, and the task's name and arguments.

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
        return StoredResult("unreadable", len(raw)), None, None
    name = module_path((record.fields.get("task_path"),))
    arguments = None
    if not record.expires:  # a record that expires may have lost them
        arguments = read_arguments(record.fields.get("args"), record.fields.get("kwargs"))
    return _describe_record(record, len(raw)), name, arguments


def _describe_record(record: DjangoRecord, size: int) -> StoredResult:
    if record.status == SUCCESSFUL:
        value = record.fields.get("return_value")
        return StoredResult("value", size, _class_name(value), _text(value))
    if record.status == FAILED:
        return StoredResult("error", size, record.error_class)
    return StoredResult("status", size, text=record.status)


def _class_name(value: Any) -> str:
    if not isinstance(value, Opaque):
        return type(value).__name__
    return value.name if value.module == "builtins" else f"{value.module}.{value.name}"


def _text(value: Any) -> str | None:
    if isinstance(value, Opaque) or not is_short(value, 4 * MAX_LENGTH):
        return None
    try:
        text = repr(value)
    except Exception:  # an object made by a user's serializer
        return None
    return text if len(text) <= MAX_LENGTH else None


def is_short(value: Any, limit: int) -> bool:
    """Return whether the `repr` of a value is short, without making it.

    A small pickle can contain an object that refers to the same parts millions of times, and its
    `repr` would not end. So the parts are counted as often as they would be written.

    Args:
        value: The value.
        limit: The largest number of parts, of characters in texts and of bits in integers.
    """
    rest, written = [value], 0
    while rest:
        part = rest.pop()
        written += len(part) if isinstance(part, (str, bytes, bytearray)) else 1
        written += part.bit_length() if isinstance(part, int) else 0
        if isinstance(part, Decimal) and part.is_finite():
            written += abs(part.adjusted())  # a format may write every digit
        rest.extend(children(part))
        if written + len(rest) > limit:
            return False
    return True
