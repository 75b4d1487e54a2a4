"""One object for each Huey in this process, for as long as the Huey exists."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary, ref

from .fork import reset_in_child

T = TypeVar("T")


class PerHuey(Generic[T]):
    """A factory that returns the same object whenever it is called with the same Huey.

    Hueys are distinguished by identity, not by equality or hash: a subclass may define its own,
    or be unhashable. So a `WeakKeyDictionary` does not work here.

    Args:
        factory: Makes the object of one Huey.
    """

    def __init__(self, factory: Callable[[], T]) -> None:
        self._factory = factory
        self._objects: dict[int, tuple[Any, T]] = {}
        """A weak reference to the Huey, and its object, by the Huey's identity."""
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        # Reentrant: the garbage collector may call `_forget` while this thread holds the lock.
        self._lock = threading.RLock()

    def __call__(self, huey: Any) -> T:
        """Return the object of `huey`; make it at the first call."""
        entry = self._objects.get(id(huey))
        if entry is not None and entry[0]() is huey:
            return entry[1]
        with self._lock:
            entry = self._objects.get(id(huey))
            if entry is None or entry[0]() is not huey:
                identity = id(huey)
                huey_ref = ref(huey, lambda dead_ref: self._forget(identity, dead_ref))
                entry = huey_ref, self._factory()
                self._objects[identity] = entry
            return entry[1]

    def all(self) -> list[T]:
        """Return the objects of all Hueys."""
        return [value for _, value in self._objects.copy().values()]

    def _forget(self, identity: int, dead_ref: Any) -> None:
        with self._lock:
            entry = self._objects.get(identity)
            if entry is not None and entry[0] is dead_ref:  # else another Huey has this identity
                del self._objects[identity]


_kits: WeakValueDictionary[int, Any] = WeakValueDictionary()
"""The kit of each Huey, by the Huey's identity. A `PerHuey` would keep the Huey alive."""


def attached_kit(huey: Any) -> Any:
    """Return the kit that is attached to `huey`, or None."""
    kit = _kits.get(id(huey))
    return kit if kit is not None and kit.huey is huey else None


def attach_kit(huey: Any, kit: Any) -> None:
    """Attach `kit` to `huey`; None detaches.

    The kit lives as long as the Huey, whose worker hooks refer to it. It is not an attribute of the
    Huey, because CPython finds the attributes of an instance faster if there are few. The limit is
    30 (``SHARED_KEYS_MAX_SIZE`` in its ``dictobject.c``), and each instance of the class lowers it
    by one.
    """
    if kit is None:
        _kits.pop(id(huey), None)
    else:
        _kits[id(huey)] = kit
