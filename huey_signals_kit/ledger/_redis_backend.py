"""Redis: a hash of its own, ``huey-signals.ledger.<name>``, in both layouts of the results.

With each record a fresh key is written, which expires: version 0.1 takes a process without that key
for dead. In this version the key can only prove that a process is alive. A lease is a key too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..store import RedisExpiringKeys, RedisKitStore, redis_key
from ._backend import ALIVE, PROCESS, TOTALS, AtomicKeyValue, StoredValues


class RedisBackend:
    """Every operation is one round trip."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        key = redis_key("ledger", storage.name)
        self._hash = RedisKitStore(storage, key, beside=self._fresh)
        self.put_if_absent, self.compare_and_set = (
            self._hash.put_if_absent,
            self._hash.compare_and_set,
        )

    @property
    def leases(self) -> AtomicKeyValue:
        """Keys of their own."""
        return RedisExpiringKeys(self._storage, f"{redis_key('lease', self._storage.name)}.")

    def get(self, key: str) -> bytes | None:
        """One field."""
        return self._hash.get([key])[0]

    def compare_and_delete(self, key: str, old: bytes) -> bool:
        """A script."""
        is_record = key.startswith(PROCESS)
        others = [ALIVE + key[len(PROCESS) :]] if is_record else []
        return self._hash.compare_and_delete(key, old, *others)

    def read(self) -> StoredValues:
        """Read the whole hash, in one command; it has two fields for each process."""
        fields = self._hash.all()
        return StoredValues(fields.get(TOTALS), _named(fields, PROCESS), _named(fields, ALIVE))

    def put_alive(self, process_id: str, value: bytes) -> None:
        """Write the field, by a script."""
        self._hash.put(ALIVE + process_id, value)

    def delete_alive(self, process_ids: Iterable[str]) -> None:
        """Delete the fields, by one command."""
        self._hash.delete([ALIVE + each for each in process_ids])

    def run_id(self) -> str | None:
        """Return the run id of the server, None if this user may not read it."""
        try:
            return str(self._storage.conn.info("server")["run_id"])
        except Exception:  # refused by an ACL, or not quite Redis
            return None

    def recently_written(self, ids: Iterable[str]) -> frozenset[str]:
        """To be asked after `read`: a record is never there before its key."""
        ids = list(ids)
        keys = [self._fresh(PROCESS + each) for each in ids]
        found = self._storage.conn.mget(keys) if keys else []
        return frozenset(each for each, value in zip(ids, found, strict=True) if value is not None)

    def _fresh(self, key: str) -> str:
        return f"{redis_key('fresh', self._storage.name)}.{key}"


def _named(fields: dict[str, bytes], kind: str) -> dict[str, bytes]:
    start = len(kind)
    return {key[start:]: value for key, value in fields.items() if key.startswith(kind)}
