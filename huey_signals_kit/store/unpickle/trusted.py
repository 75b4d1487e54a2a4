"""Messages and plain values that are Python objects already, searched for ids.

A serializer of the user's own deserializes messages itself. What it returns may be Huey's
``Message``, or any object with the same attributes. Objects that are neither a message nor a plain
container are not touched: an attribute of theirs may run code, raise, or never return.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from huey.api import Result, Task
from huey.registry import Message

from ..keys import generated_in
from ..protocol import LARGEST
from .types import StoredMessage, Unreadable

_MAX_PARTS = 1_000_000
_PLAIN: tuple[Any, ...] = (list, tuple, set, frozenset, deque)
_FIELDS = (
    *("id", "name", "eta", "retries", "retry_delay", "priority", "args", "kwargs"),
    *("on_complete", "on_error", "expires", "expires_resolved", "timeout", "chord_config"),
)


def messages_in(value: Any) -> tuple[Any, list[StoredMessage], set[str]]:
    """Search a deserialized message.

    Returns:
        The value as a `StoredMessage` if it is a message, else unchanged; every message in it, at
        any depth; and every text in it that looks like an id that Huey generated.

    Raises:
        Unreadable: It has too many parts.
    """
    message_classes = (Message, type(value)) if _looks_like_message(value) else (Message,)
    messages: list[StoredMessage] = []
    ids: set[str] = set()
    seen: set[int] = set()
    unvisited = [value]
    while unvisited:
        part = unvisited.pop()
        if issubclass(type(part), str):
            ids |= generated_in(part)
            continue
        if id(part) in seen:
            continue
        seen.add(id(part))
        if issubclass(type(part), message_classes):
            message = _stored_message(part)
            messages.append(message)
            unvisited.extend(message)
        else:
            unvisited.extend(children(part))
        if len(seen) > _MAX_PARTS:
            raise Unreadable(f"a message of more than {_MAX_PARTS:,} parts")
    whole = _stored_message(value) if isinstance(value, message_classes) else value
    return whole, messages, ids


def ids_in_plain(value: Any) -> set[str]:
    """Return the ids in plain values, at any depth.

    They are texts and bytes that look like an id that Huey generated, and the ids of tasks and
    results.

    Raises:
        Unreadable: The value has too many parts, or too much text.
    """
    ids: set[str] = set()
    seen: set[int] = set()
    unvisited, text_left = [value], LARGEST
    while unvisited:
        part = unvisited.pop()
        cls = type(part)  # not part.__class__, which would evaluate a lazy object
        if issubclass(cls, str):
            text_left -= str.__len__(part)
            ids |= generated_in(part)
        elif issubclass(cls, (bytes, bytearray)):
            text_left -= len(memoryview(part))
            ids |= generated_in(bytes(memoryview(part)).decode("latin-1"))
        elif id(part) not in seen:
            seen.add(id(part))
            ids.update(_task_id(part))
            unvisited.extend(children(part))
        if len(seen) > _MAX_PARTS or text_left < 0:
            raise Unreadable(f"more than {_MAX_PARTS:,} parts, or more text than is read")
    return ids


def _task_id(part: Any) -> set[str]:
    # Only of Huey's classes: an attribute of a user's object can raise, or never return.
    if issubclass(type(part), Result):
        part = part.task
    return {str(part.id)} if issubclass(type(part), Task) else set()


def _looks_like_message(value: Any) -> bool:
    return hasattr(value, "id") and hasattr(value, "on_complete")


def _stored_message(message: Any) -> StoredMessage:
    return StoredMessage(getattr(message, name, None) for name in _FIELDS)


def children(part: Any) -> Any:
    """Return the parts of a plain container, and nothing for any other object.

    The methods of the plain class are used, because a subclass may override them, and the result is
    a copy, because another thread may change the container meanwhile.
    """
    if issubclass(type(part), dict):
        return (*dict.keys(part), *dict.values(part))
    plain = next((cls for cls in _PLAIN if issubclass(type(part), cls)), None)
    return () if plain is None else tuple(plain.__iter__(part))
