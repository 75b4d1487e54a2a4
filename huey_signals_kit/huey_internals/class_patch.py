"""Patch classes of Huey for a whole process, and restore them.

`patch` changes one Huey. This module is for code that must reach every Huey, including those that
the application makes later.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal

from huey.api import Huey
from huey.registry import Message, Registry
from huey.serializer import Serializer, SignedSerializer
from huey.signals import Signal

Replacement = Callable[..., Any]
"""Called with the original function, then with the arguments of the call, ``self`` included."""

PatchPoint = Literal[
    "enqueue", "schedule", "execute", "send signal", "pickle", "unpickle", "create task"
]

_PATCH_POINTS: dict[PatchPoint, tuple[type, str]] = {
    # Huey's scheduler, retries, pipelines and chords call it too; groups and chords call it again
    # for each of their tasks.
    "enqueue": (Huey, "enqueue"),
    # A worker calls it for a retry with a delay, and for a message that it got too early.
    "schedule": (Huey, "add_schedule"),
    "execute": (Huey, "execute"),
    # Also reached if a subclass of Huey overrides `_emit`.
    "send signal": (Signal, "send"),
    # Below compression and signatures. `SignedSerializer` inherits or calls both.
    "pickle": (Serializer, "_serialize"),
    "unpickle": (Serializer, "_deserialize"),
    "create task": (Registry, "create_task"),
}
"""The functions that every Huey calls, in Huey 2.5 to 3.5."""


def is_message(value: object) -> bool:
    """Return whether `value` is a message, which Huey puts into the queue and the schedule."""
    return type(value) is Message


def is_own_serializer(serializer: object) -> bool:
    """Return whether `serializer` is one of Huey's own, not of a subclass."""
    return type(serializer) in (Serializer, SignedSerializer)


class ClassPatch:
    """Functions that are replaced on classes.

    Other code may replace the same function before or after. If it did so after, `remove` cannot
    restore the class. The wrapper that stays there then only calls the original.
    """

    def __init__(self) -> None:
        self._wrappers: dict[PatchPoint, tuple[Any, Any]] = {}
        """The original and the wrapper of each function."""
        self._replacements: dict[PatchPoint, Replacement] = {}

    def wrap(self, point: PatchPoint, replacement: Replacement) -> None:
        """Replace a function of Huey, once until `remove`.

        Args:
            point: The function.
            replacement: What is called instead.
        """
        cls, name = _PATCH_POINTS[point]
        original, replacements = vars(cls)[name], self._replacements

        @wraps(original)
        def wrapper(*args: Any, **options: Any) -> Any:
            current = replacements.get(point)
            if current is None:
                return original(*args, **options)
            return current(original, *args, **options)

        self._replacements[point] = replacement
        self._wrappers[point] = original, wrapper
        setattr(cls, name, wrapper)

    def remove(self) -> None:
        """Restore every function; if other code has wrapped it again since, leave that wrapper."""
        self._replacements.clear()
        self._replacements = {}  # wrappers that stay still refer to the old, empty dict
        for point, (original, wrapper) in self._wrappers.items():
            cls, name = _PATCH_POINTS[point]
            if vars(cls).get(name) is wrapper:
                setattr(cls, name, original)
        self._wrappers = {}
