"""A shared list of locks that one process cleared on purpose while another process held them.

The holder looks in this list before it reports a lock as lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from ..store import UPKEEP, Reader, is_shared, open_kit_store, open_store
from .holder import parse_holder

MOST = 500
"""How many acquisitions the list keeps; holders read it every few seconds."""

_KEY = "huey-signals:cleared"
_TRIES = 10


class ClearedLocks:
    """Recent acquisitions of one Huey's locks that a process with the kit cleared."""

    def __init__(self, huey: Any) -> None:
        self._huey = huey
        self._known: frozenset[str] = frozenset()

    def note(self, key: str) -> None:
        """Add the lock to the list, before this process clears it, if another process holds it."""
        if not is_shared(self._huey.storage):
            return
        (raw,) = open_store(self._huey).get([key])
        if raw is None or parse_holder(Reader(self._huey).value(raw)) is None:
            return
        store = open_kit_store(self._huey, UPKEEP)
        for _ in range(_TRIES):
            (found,) = store.get([_KEY])
            new = json.dumps([*_read(found), _name(raw)][-MOST:]).encode("ascii")
            if (
                store.put_if_absent(_KEY, new)
                if found is None
                else store.compare_and_set(_KEY, found, new)
            ):
                return

    def has(self, raw: bytes) -> bool:
        """Return whether the acquisition that wrote *raw* was cleared by another process."""
        name = _name(raw)
        if name not in self._known and is_shared(self._huey.storage):
            self._known = frozenset(_read(open_kit_store(self._huey, UPKEEP).get([_KEY])[0]))
        return name in self._known


def _name(raw: bytes) -> str:
    return hashlib.blake2b(raw, digest_size=8).hexdigest()


def _read(found: bytes | None) -> Iterable[str]:
    try:
        names = json.loads(found or b"[]")
        return [each for each in names if isinstance(each, str)]
    except (ValueError, TypeError, RecursionError):
        return []
