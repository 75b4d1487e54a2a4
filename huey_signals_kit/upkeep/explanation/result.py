"""What stands in the store as the result of a task, in a few words."""

from __future__ import annotations

from typing import Any

from huey.utils import Error

from ...store import Reader, Unreadable, children
from ...store.reader import Opaque
from ..errors import class_of
from .model import StoredResult

LONGEST = 200
"""How many characters of a value are told; of a longer one no more than its class and its size."""


def read_result(reader: Reader, raw: bytes) -> StoredResult:
    """What *raw*, as it is stored, says."""
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
        text if isinstance(text, str) and len(text) <= LONGEST else None,
        of_task if isinstance(of_task, str) else None,
    )


def _class_name(value: Any) -> str:
    if not isinstance(value, Opaque):
        return type(value).__name__
    return value.name if value.module == "builtins" else f"{value.module}.{value.name}"


def _text(value: Any) -> str | None:
    if isinstance(value, Opaque) or not _is_short(value):
        return None
    try:
        text = repr(value)
    except Exception:  # of what a serializer of the user's own has made
        return None
    return text if len(text) <= LONGEST else None


def _is_short(value: Any) -> bool:
    """Whether it can be written in no time: what is shared within it is written again and again."""
    rest, written = [value], 0
    while rest:
        part = rest.pop()
        written += len(part) if isinstance(part, (str, bytes, bytearray)) else 1
        written += part.bit_length() if isinstance(part, int) else 0
        rest.extend(children(part))
        if written + len(rest) > 4 * LONGEST:
            return False
    return True
