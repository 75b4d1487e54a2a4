"""One thing for each Huey in this process, as long as that exists."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import ref

T = TypeVar("T")


class PerHuey(Generic[T]):
    """Makes one with *make* for each. By identity: a subclass may compare, or not be hashable."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[int, tuple[Any, T]] = {}
        self._lock = threading.RLock()  # a Huey may be gone at any moment, also at this one

    def __call__(self, huey: Any) -> T:
        """Return the object of *huey*; always the same object."""
        found = self._made.get(id(huey))
        if found is not None and found[0]() is huey:
            return found[1]
        with self._lock:
            found = self._made.get(id(huey))
            if found is None or found[0]() is not huey:
                place = id(huey)
                found = ref(huey, lambda gone: self._drop(place, gone)), self._make()
                self._made[place] = found
            return found[1]

    def all(self) -> list[T]:
        """Return all objects."""
        return [made for _, made in self._made.copy().values()]

    def _drop(self, place: int, gone: Any) -> None:
        with self._lock:
            found = self._made.get(place)
            if found is not None and found[0] is gone:
                del self._made[place]
