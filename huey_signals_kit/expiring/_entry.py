"""An error that expires: what is stored, and what the backends of this folder do with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from huey.utils import Error

BATCH = 100
"""Errors that are deleted in one step, so that no worker waits for long."""

DIGEST_LENGTH = 40
"""Characters of a `digest`."""

_LARGEST = 299
"""Bytes of the largest serialized error."""
_SHORTEST_TEXT = 60
"""Bytes of the error's text that are kept in any case."""


@dataclass(frozen=True)
class Entry:
    """A serialized error under its key."""

    key: str
    value: bytes
    seconds: float
    """Its time to live."""
    due: float
    """The time when it expires, in seconds since the epoch."""

    @property
    def milliseconds(self) -> int:
        """The time to live in milliseconds, at least 1; Redis refuses 0."""
        return max(1, round(self.seconds * 1000))

    @property
    def due_ms(self) -> int:
        """The time when the error expires, in milliseconds since the epoch."""
        return round(self.due * 1000)

    @property
    def digest(self) -> str:
        """The digest by which this value is distinguished from a later one of the same key."""
        return digest(self.value)


class ExpiringBackend(Protocol):
    """The storage operations of one family for errors that expire.

    A backend has no storage of its own, because ``huey.immediate`` may replace the storage.
    """

    @property
    def has_index(self) -> bool:
        """Whether `schedule` writes a record with the digest of the error.

        Such a record may be written before the error. Without one, `schedule` gives a time to live
        to whatever is stored under the key.
        """

    def put(self, storage: Any, entry: Entry) -> Any:
        """Store the error, and what is needed to delete it when it is due."""

    def schedule(self, storage: Any, entry: Entry) -> Any:
        """Have an error that is stored already deleted when it is due."""

    def delete_due(self, storage: Any, now: float) -> bool:
        """Delete up to `BATCH` errors that are due; return whether there may be more.

        A value that was stored under the same key since is left alone.

        Args:
            storage: Huey's storage.
            now: Seconds since the epoch.
        """


def digest(value: bytes) -> str:
    """Return the SHA-1 of a value in hexadecimal digits; scripts on Redis can compute it, too."""
    return hashlib.sha1(value, usedforsecurity=False).hexdigest()


def as_text(key: object) -> str:
    """Return the key of a result as text, as every storage writes it."""
    return key.decode() if isinstance(key, bytes) else str(key)


def small_error(
    metadata: Mapping[str, Any],
    due: float,
    serialize: Callable[[Error], bytes],
    whole: bool = False,
) -> Error:
    """Return an error without a traceback, with ``expires`` in its metadata.

    Its text is shortened so that it takes less than 300 bytes when serialized, unless the task's id
    or metadata of the user leaves no room for that.

    Args:
        metadata: The metadata of the error.
        due: When the error expires, in seconds since the epoch.
        serialize: Huey's serializer.
        whole: Whether the text is the user's own, and so is not shortened.
    """
    small = {name: str(item) if isinstance(item, str) else item for name, item in metadata.items()}
    small.update(traceback="", expires=due)
    if whole:
        return Error(small)
    text = str(small.get("error"))
    small["error"] = "?"
    room = _LARGEST + 1 - len(serialize(Error(small)))
    small["error"] = _shorten(text, max(room, _SHORTEST_TEXT))
    return Error(small)


def _shorten(text: str, max_bytes: int) -> str:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= max_bytes:
        return encoded.decode()
    return encoded[: max_bytes - 3].decode("utf-8", "ignore") + "..."
