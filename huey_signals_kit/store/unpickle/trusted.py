"""Messages that a serializer of the user's own has read: Huey's, or whatever is used as one."""

from __future__ import annotations

from collections import deque
from typing import Any

from huey.api import Result, Task
from huey.registry import Message

from ..keys import generated_in
from ..protocol import LARGEST
from .types import StoredMessage, Unreadable

_PARTS = 1_000_000
_PLAIN: tuple[Any, ...] = (list, tuple, set, frozenset, deque)
_FIELDS = ("id", "name", "eta", "retries", "retry_delay", "priority", "args", "kwargs")
_LATER = ("on_complete", "on_error", "expires", "expires_resolved", "timeout", "chord_config")


def messages_in(value: Any) -> tuple[Any, list[StoredMessage], set[str]]:
    """*value* as a message, all messages in it at any depth, and what looks like Huey's ids.

    Nothing is asked of what is neither plain nor a message.
    """
    kinds = (Message, type(value)) if _looks_like_one(value) else (Message,)
    messages: list[StoredMessage] = []
    ids: set[str] = set()
    seen: set[int] = set()
    rest = [value]
    while rest:
        part = rest.pop()
        if issubclass(type(part), str):
            ids |= generated_in(part)
            continue
        if id(part) in seen:
            continue
        seen.add(id(part))
        if issubclass(type(part), kinds):
            messages.append(_stored(part))
            rest.extend(_stored(part))
        else:
            rest.extend(children(part))
        if len(seen) > _PARTS:
            raise Unreadable(f"a message of more than {_PARTS:,} parts")
    return _stored(value) if isinstance(value, kinds) else value, messages, ids


def ids_in_plain(value: Any) -> set[str]:
    """All that looks like an id of Huey's in plain values, at any depth; of tasks, their own.

    `Unreadable` if there is too much of it to look through.
    """
    ids: set[str] = set()
    seen: set[int] = set()
    rest, room = [value], LARGEST
    while rest:
        part = rest.pop()
        kind = type(part)  # not what it says itself: a lazy object would be computed
        if issubclass(kind, str):
            room -= str.__len__(part)
            ids |= generated_in(part)
        elif issubclass(kind, (bytes, bytearray)):
            room -= len(memoryview(part))
            ids |= generated_in(bytes(memoryview(part)).decode("latin-1"))
        elif id(part) not in seen:
            seen.add(id(part))
            ids.update(_own_id(part))
            rest.extend(children(part))
        if len(seen) > _PARTS or room < 0:
            raise Unreadable(f"more than {_PARTS:,} parts, or more text than anybody reads")
    return ids


def _own_id(part: Any) -> set[str]:
    # Asked of nothing that is not Huey's: attributes of a user's object can raise, or never end.
    if issubclass(type(part), Result):
        part = part.task
    return {str(part.id)} if issubclass(type(part), Task) else set()


def _looks_like_one(value: Any) -> bool:
    return hasattr(value, "id") and hasattr(value, "on_complete")


def _stored(message: Any) -> StoredMessage:
    return StoredMessage(getattr(message, name, None) for name in (*_FIELDS, *_LATER))


def children(part: Any) -> Any:
    """What is in a plain container; nothing in anything else."""
    # By the plain class's own methods: a subclass may have others, and another thread may change
    # it meanwhile.
    if issubclass(type(part), dict):
        return (*dict.keys(part), *dict.values(part))
    plain = next((each for each in _PLAIN if issubclass(type(part), each)), None)
    return () if plain is None else tuple(plain.__iter__(part))
