"""The backend for the kit's own data on a storage that the kit does not know.

The data are stored among Huey's results, because there is no other place. Each value is a text in
Huey's own serializer, so that `Huey.get` can read it. Values are compared after deserializing,
because a serializer may write one value as different bytes: gzip includes the time. A value is
replaced only while its bytes are those that were read.

Such a storage can only be listed as a whole, which takes too long to do every few seconds. So an
index under one key has the keys that the kit must find by prefix.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..keys import OWN
from ..reader import Reader, Unreadable
from .generic import GenericStore

INDEX = f"{OWN}index"
_LISTED = (f"{OWN}process:", f"{OWN}alive:")
"""The prefixes of the keys that are in the index."""
_MAX_ATTEMPTS = 20


class SerializedStore:
    """A `KitStore` on any storage. Only `put_if_absent` is atomic, as Huey has no compare-and-set.

    If two processes change the index at the same time, one entry can be lost. The next write of
    that key adds it again, so a process is missing for at most one heartbeat.
    """

    def __init__(self, huey: Any, storage: Any) -> None:
        self._store = GenericStore(storage)
        self._serializer = huey.serializer
        self._reader = Reader(huey)

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values, by ``peek_data``."""
        return [self._plain(raw) for raw in self._store.get(keys)]

    def put(self, key: str, value: bytes) -> None:
        """Write a value, by ``put_data``."""
        self._list(key)
        self._store.put(key, self._serialized(value))

    def put_if_absent(self, key: str, value: bytes) -> bool:
        """Write a value, by ``put_if_empty``."""
        self._list(key)
        return self._store.put_if_absent(key, self._serialized(value))

    def compare_and_set(self, key: str, old: bytes, new: bytes) -> bool:
        """Write `new` if the value is `old`, by ``peek_data`` and ``put_data``."""
        (raw,) = self._store.get([key])
        if raw is None or self._plain(raw) != old:
            return False
        self._list(key)
        return self._store.compare_and_set(key, raw, self._serialized(new))

    def compare_and_delete(self, key: str, value: bytes) -> bool:
        """Delete the key if it has this value, by ``peek_data`` and ``delete_data``."""
        (raw,) = self._store.get([key])
        if raw is None or self._plain(raw) != value:
            return False
        deleted = self._store.compare_and_delete(key, raw)
        if deleted:
            self._unlist([key])
        return deleted

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """Yield keys by prefix: from the index if it has them, else from all results."""
        if prefix.startswith(_LISTED):
            yield [key for key in self._index()[1] if key.startswith(prefix)]
            return
        for keys in self._store.keys(prefix):
            yield [key for key in keys if key.startswith(OWN)]

    def delete(self, keys: Iterable[str]) -> int:
        """Delete by ``delete_data``."""
        deleted = list(keys)
        self._unlist(deleted)
        return self._store.delete(deleted)

    def _list(self, key: str) -> None:
        if key.startswith(_LISTED):
            self._change_index(lambda listed: listed if key in listed else [*listed, key])

    def _unlist(self, keys: list[str]) -> None:
        if any(key.startswith(_LISTED) for key in keys):
            self._change_index(lambda listed: [key for key in listed if key not in keys])

    def _change_index(self, change: Callable[[list[str]], list[str]]) -> None:
        for _ in range(_MAX_ATTEMPTS):
            raw, listed = self._index()
            changed = change(listed)
            if changed == listed:
                return
            new = self._serialized(json.dumps(changed).encode("ascii"))
            if raw is None:
                self._store.put_if_absent(INDEX, new)
            else:
                self._store.compare_and_set(INDEX, raw, new)
        # Other processes keep changing the index; the next write of the key tries again.

    def _index(self) -> tuple[bytes | None, list[str]]:
        (raw,) = self._store.get([INDEX])
        try:
            listed = json.loads(self._plain(raw) or b"[]")
        except ValueError:
            return raw, []
        if not isinstance(listed, list):
            return raw, []
        return raw, [key for key in listed if isinstance(key, str) and key.startswith(OWN)]

    def _serialized(self, value: bytes) -> bytes:
        raw = self._serializer.serialize(value.decode("latin-1"))
        return raw.encode() if isinstance(raw, str) else bytes(raw)

    def _plain(self, raw: bytes | None) -> bytes | None:
        """Return the value that `_serialized` wrote as `raw`; other bytes unchanged."""
        if raw is None:
            return None
        try:
            value = self._reader.value(raw)
            return value.encode("latin-1") if type(value) is str else raw
        except (Unreadable, UnicodeEncodeError):
            return raw
