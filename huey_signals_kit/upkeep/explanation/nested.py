"""Find a task inside the message of another task, such as a later stage of its pipeline."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeGuard

from huey.registry import Message

from ...huey_internals.django_tasks import arguments_in_message, name_in_message
from ...store.reader import StoredMessage
from .model import CALLBACK, HANDLER, STAGE, Arguments

# The fields of Huey's Message.
_ID, _ON_COMPLETE, _ON_ERROR, _CHORD = 0, 8, 9, 13
# The fields of a chord's configuration.
_CALLBACK = 3
_MIN_FIELDS = 10
"""The number of fields that a message of every version of Huey has at least."""

_MAX_STEPS = 8


class ChordConfig(NamedTuple):
    """The configuration of a chord, as its parts have it."""

    chord_id: str
    size: int
    """The number of parts."""
    part: int
    """The number of the part, from 1."""


class NestedTask(NamedTuple):
    """A task that was found in a message: the task of the message, or a nested one."""

    path: tuple[str, ...]
    """The steps from the message to the task, see `Location.path`; a step that repeats is there
    once."""
    task_name: str
    member_of: ChordConfig | None
    """The chord of which it is a part, or leads to one."""
    called_by: ChordConfig | None
    """The chord of which it is the callback."""
    arguments: Arguments | None
    """Its arguments; None if they are not of the types that Huey writes."""


def find_in(fields: tuple[Any, ...], task_id: str) -> NestedTask | None:
    """Return a task in a message; None if at most its id is there, as an argument.

    Args:
        fields: The fields of the message.
        task_id: The id of the task.
    """
    rest: list[tuple[Any, tuple[str, ...], ChordConfig | None]] = [(fields, (), None)]
    seen: set[int] = set()
    while rest:
        message, path, called_by = rest.pop()
        if not _is_message(message) or id(message) in seen:
            continue
        seen.add(id(message))
        if str(message[_ID]) == task_id:
            return NestedTask(
                path,
                name_in_message(message),
                _chord_ahead(message),
                called_by,
                read_arguments(*arguments_in_message(message)),
            )
        chord, callback = _chord_of(message)
        # The last one is searched first: a pipeline before a callback before an error handler.
        rest.append((message[_ON_ERROR], _extend(path, HANDLER), None))
        rest.append((callback, _extend(path, CALLBACK), chord))
        rest.append((message[_ON_COMPLETE], _extend(path, STAGE), None))
    return None


def read_arguments(args: Any, kwargs: Any) -> Arguments | None:
    """Return the arguments of a task; None if they are not of the types that Huey writes.

    Args:
        args: The positional arguments, as they were stored.
        kwargs: The keyword arguments, as they were stored.
    """
    args, kwargs = () if args is None else args, {} if kwargs is None else kwargs
    if not isinstance(args, (list, tuple)) or not isinstance(kwargs, dict):
        return None
    return Arguments(tuple(args), dict(kwargs))


def _extend(path: tuple[str, ...], step: str) -> tuple[str, ...]:
    return path if path[-1:] == (step,) or len(path) == _MAX_STEPS else (*path, step)


def _is_message(value: Any) -> TypeGuard[tuple[Any, ...]]:
    # Any other tuple may have anything in place of an id. (`Message` comes from a user's
    # serializer.)
    return isinstance(value, (StoredMessage, Message)) and len(value) >= _MIN_FIELDS


def _chord_ahead(message: Any) -> ChordConfig | None:
    """Return the chord of a task, or of the last stage of its pipeline, which is the part then."""
    seen: set[int] = set()
    while _is_message(message) and id(message) not in seen:
        seen.add(id(message))
        chord, _ = _chord_of(message)
        if chord is not None:
            return chord
        message = message[_ON_COMPLETE]
    return None


def _chord_of(message: tuple[Any, ...]) -> tuple[ChordConfig | None, Any]:
    """Return the chord of which a message is a part, and the message of its callback."""
    config = message[_CHORD] if len(message) > _CHORD else None
    if not isinstance(config, tuple) or len(config) <= _CALLBACK:
        return None, None
    chord_id, size, index, callback = config[: _CALLBACK + 1]
    if type(size) is not int or type(index) is not int:
        return None, callback
    return ChordConfig(str(chord_id), size, index + 1), callback
