"""Methods of one Huey that a kit has put its own around, on that instance alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .facts import is_own_method

Around = Callable[[Callable[..., Any]], Callable[..., Any]]


class Placed:
    """What stands there, and what was found."""

    def __init__(self, huey: Any) -> None:
        self._huey = huey
        self._found: dict[str, Any] = {}
        self._placed: dict[str, Any] = {}

    def put(self, name: str, around: Around) -> None:
        """Put *around* of what is found around the method *name*."""
        found = getattr(self._huey, name)
        if not is_own_method(self._huey, name, found):
            self._found[name] = found
        self._placed[name] = around(found)
        setattr(self._huey, name, self._placed[name])

    def remove(self) -> None:
        """Leave all as it was found; a wrapper that other code has put around since stays."""
        for name, placed in self._placed.items():
            if getattr(self._huey, name) is not placed:
                continue
            if name in self._found:
                setattr(self._huey, name, self._found[name])
            else:
                delattr(self._huey, name)
