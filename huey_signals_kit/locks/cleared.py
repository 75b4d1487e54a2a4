"""A shared list of locks that one process cleared on purpose while another process held them.

``lock.clear()`` also releases a lock that another process holds, as in Huey. The holder finds it
gone, and cannot tell this from an expired ttl. So the process that clears the lock first adds the
acquisition to this list, and the holder looks here before it reports the lock as lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from ..store import UPKEEP, Reader, is_shared, open_kit_store, open_store
from .holder import parse_holder

MAX_CLEARED = 500
"""The maximum number of acquisitions in the list; holders read it every few seconds."""

_KEY = "huey-signals:cleared"
_TRIES = 10


class ClearedLocks:
    """Recent acquisitions of one Huey's locks that a process with the kit cleared."""

    def __init__(self, huey: Any) -> None:
        self._huey = huey
        self._known: frozenset[str] = frozenset()

    def note(self, key: str) -> None:
        """Add a lock to the list if another process holds it; call it before clearing the lock.

        Args:
            key: The stored key of the lock.
        """
        if not is_shared(self._huey.storage):
            return
        (raw,) = open_store(self._huey).get([key])
        if raw is None or parse_holder(Reader(self._huey).value(raw)) is None:
            return
        store = open_kit_store(self._huey, UPKEEP)
        for _ in range(_TRIES):
            (stored,) = store.get([_KEY])
            new = json.dumps([*_parse(stored), _digest(raw)][-MAX_CLEARED:]).encode("ascii")
            if (
                store.put_if_absent(_KEY, new)
                if stored is None
                else store.compare_and_set(_KEY, stored, new)
            ):
                return

    def has(self, raw: bytes) -> bool:
        """Return whether another process cleared an acquisition.

        Args:
            raw: The stored value that the acquisition wrote.
        """
        digest = _digest(raw)
        if digest not in self._known and is_shared(self._huey.storage):
            self._known = frozenset(_parse(open_kit_store(self._huey, UPKEEP).get([_KEY])[0]))
        return digest in self._known


def _digest(raw: bytes) -> str:
    """Return a short name of the acquisition that wrote `raw`."""
    return hashlib.blake2b(raw, digest_size=8).hexdigest()


def _parse(stored: bytes | None) -> Iterable[str]:
    """Return the digests in a stored list; none if it is missing or unreadable."""
    try:
        digests = json.loads(stored or b"[]")
        return [digest for digest in digests if isinstance(digest, str)]
    except (ValueError, TypeError, RecursionError):
        return []
