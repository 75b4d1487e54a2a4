"""An error that expires: what is stored, and how it is recognised later."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from huey.utils import Error

BATCH = 100
"""How many errors are removed in one step, so that no worker waits for long."""

_LARGEST = 299
_LEAST_TEXT = 60


@dataclass(frozen=True)
class Entry:
    """A serialized error under its key; it expires after *seconds*, at *due* (since the epoch)."""

    key: str
    value: bytes
    seconds: float
    due: float

    @property
    def milliseconds(self) -> int:
        """How long it is kept, as Redis takes it."""
        return max(1, round(self.seconds * 1000))

    @property
    def due_ms(self) -> int:
        """When it expires, in milliseconds since the epoch."""
        return round(self.due * 1000)

    @property
    def digest(self) -> str:
        """What tells this very value from any that is stored under the key later."""
        return digest(self.value)


class ExpiringBackend(Protocol):
    """How one family of storages stores what expires; the storage is passed each time."""

    def put(self, storage: Any, entry: Entry) -> Any:
        """Store *entry*, together with what is needed to remove it."""

    def schedule(self, storage: Any, entry: Entry) -> Any:
        """See to it that *entry*, which is stored already, is removed."""

    def delete_due(self, storage: Any, now: float) -> bool:
        """Remove up to `BATCH` of those that are due; whether there may be more.

        What was stored under a key since then stays.
        """


def digest(value: bytes) -> str:
    """The SHA-1 of *value*, 40 hexadecimal digits: Redis' scripts know it as well."""
    return hashlib.sha1(value, usedforsecurity=False).hexdigest()


def as_text(key: object) -> str:
    """A key of a result as text, as every storage writes it."""
    return key.decode() if isinstance(key, bytes) else str(key)


def small_error(
    metadata: Mapping[str, Any],
    due: float,
    serialize: Callable[[Error], bytes],
    whole: bool = False,
) -> Error:
    """The error with *metadata*, without its traceback, that says when it ``expires``.

    Serialized it takes less than 300 bytes, unless an id or metadata of the user leaves no room:
    its text is shortened as needed.

    Args:
        metadata: Of the error.
        due: When the error expires, in seconds since the epoch.
        serialize: Huey's serializer.
        whole: Whether the text is the user's own, and so is not shortened.
    """
    kept = {name: str(each) if isinstance(each, str) else each for name, each in metadata.items()}
    kept.update(traceback="", expires=due)
    if whole:
        return Error(kept)
    text = str(kept.get("error"))
    kept["error"] = "?"
    room = _LARGEST + 1 - len(serialize(Error(kept)))
    kept["error"] = _cut(text, max(room, _LEAST_TEXT))
    return Error(kept)


def _cut(text: str, room: int) -> str:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= room:
        return encoded.decode()
    return encoded[: room - 3].decode("utf-8", "ignore") + "..."
