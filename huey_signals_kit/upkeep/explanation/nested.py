"""How a task stands in the message of another one: as a later stage, say."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeGuard

from huey.registry import Message

from ...store.reader import StoredMessage
from .model import CALLBACK, HANDLER, STAGE

_ID, _NAME, _ON_COMPLETE, _ON_ERROR, _CHORD = 0, 1, 8, 9, 13
_CALLBACK = 3
_LEAST = 10
"""How many fields every version's message has at least."""

_MOST_STEPS = 8


class ChordConfig(NamedTuple):
    """What a part knows of its chord."""

    chord_id: str
    size: int
    part: int
    """From 1."""


class Found(NamedTuple):
    """A task in a message, which may be its own."""

    path: tuple[str, ...]
    """From the message inwards, see `Place.path`; what comes twice running stands there once."""
    task_name: str
    member_of: ChordConfig | None
    """The chord of which it is, or leads to, a part."""
    called_by: ChordConfig | None
    """The chord whose callback it is."""


def find_in(fields: tuple[Any, ...], task_id: str) -> Found | None:
    """The task *task_id* in a message with these *fields*; None if at most its id stands there."""
    rest: list[tuple[Any, tuple[str, ...], ChordConfig | None]] = [(fields, (), None)]
    seen: set[int] = set()
    while rest:
        message, path, called_by = rest.pop()
        if not _is_message(message) or id(message) in seen:
            continue
        seen.add(id(message))
        if str(message[_ID]) == task_id:
            return Found(path, str(message[_NAME]), _chord_ahead(message), called_by)
        chord, callback = _chord(message)
        rest.append((message[_ON_ERROR], _longer(path, HANDLER), None))
        rest.append((callback, _longer(path, CALLBACK), chord))
        rest.append((message[_ON_COMPLETE], _longer(path, STAGE), None))
    return None


def _longer(path: tuple[str, ...], step: str) -> tuple[str, ...]:
    return path if path[-1:] == (step,) or len(path) == _MOST_STEPS else (*path, step)


def _is_message(part: Any) -> TypeGuard[tuple[Any, ...]]:
    # What is none may have anything in place of an id. (A user's serializer makes Huey's own.)
    return isinstance(part, (StoredMessage, Message)) and len(part) >= _LEAST


def _chord_ahead(message: Any) -> ChordConfig | None:
    """Of a pipeline, the last stage is the part."""
    seen: set[int] = set()
    while _is_message(message) and id(message) not in seen:
        seen.add(id(message))
        chord, _ = _chord(message)
        if chord is not None:
            return chord
        message = message[_ON_COMPLETE]
    return None


def _chord(message: tuple[Any, ...]) -> tuple[ChordConfig | None, Any]:
    config = message[_CHORD] if len(message) > _CHORD else None
    if not isinstance(config, tuple) or len(config) <= _CALLBACK:
        return None, None
    chord_id, size, index, callback = config[: _CALLBACK + 1]
    if type(size) is not int or type(index) is not int:
        return None, callback
    return ChordConfig(str(chord_id), size, index + 1), callback
