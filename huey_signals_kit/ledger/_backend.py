"""Where the values of a ledger are stored, and how they are written.

A process has two values: its record ``process:<id>``, written by compare-and-set, and
``alive:<id>``, which a native thread writes without comparing, so that it changes even while the
scheduler of the process cannot run. Beside them there are ``totals``, the counters of processes
that are gone, and leases.

On Redis they are fields of one hash, ``huey-signals.ledger.<name>``, in both layouts of the
results. On every other storage they are keys of the kit's own data, where `open_kit_store` says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from ..store import (
    LEDGER,
    REDIS,
    KitStore,
    RedisExpiringKeys,
    RedisKitStore,
    family_of,
    open_kit_store,
    redis_key,
)

TOTALS = "totals"
PROCESS = "process:"
ALIVE = "alive:"
PREFIX = "huey-signals:"
_TRIES = 100


class StoredValues(NamedTuple):
    """All values of a ledger at one moment."""

    totals: bytes | None
    records: dict[str, bytes]
    """By process id."""
    alive: dict[str, bytes]
    """By process id; there may be one without a record."""


class AtomicKeyValue(Protocol):
    """Values that are written by compare-and-set.

    `seconds` is a time to live: afterwards the value may be gone. A storage without time to live
    ignores it.
    """

    def get(self, key: str) -> bytes | None:
        """Return the value of `key`, or None."""

    def put_if_absent(self, key: str, value: bytes, seconds: float = 0) -> bool:
        """Write the value if there is none; return whether it was written."""

    def compare_and_set(self, key: str, old: bytes, new: bytes, seconds: float = 0) -> bool:
        """Write `new` if the value is `old`; return whether it was written."""

    def compare_and_delete(self, key: str, old: bytes) -> bool:
        """Delete the value if it is `old`; with a record, ``alive:<id>`` is deleted too."""


class LedgerBackend(AtomicKeyValue, Protocol):
    """The values of one ledger.

    A record itself never expires: `seconds` is for how long it counts as recently written.
    """

    @property
    def leases(self) -> AtomicKeyValue:
        """Where leases are stored; there a value may expire."""

    def read(self) -> StoredValues:
        """Return all values, as they are at one moment."""

    def put_alive(self, process_id: str, value: bytes) -> None:
        """Write ``alive:<process_id>``."""

    def delete_alive(self, process_ids: Iterable[str]) -> None:
        """Delete ``alive:<id>`` of each process."""

    def run_id(self) -> str | None:
        """Return an id of the server that changes when it restarts; None if unknown."""

    def recently_written(self, ids: Iterable[str]) -> frozenset[str] | None:
        """Return those of the processes that were recently written; None if no server knows."""


def open_backend(huey: Any, storage: Any = None) -> LedgerBackend:
    """Open the values of the ledger of the queue of `huey`.

    Args:
        huey: The Huey, for its serializer and its storage.
        storage: Another storage object of the same kind, such as with its own connection.
    """
    storage = huey.storage if storage is None else storage
    family = family_of(storage)
    if family is not None and family.name in REDIS:
        return RedisBackend(storage)
    return StoreBackend(open_kit_store(huey, LEDGER, storage))


class StoreBackend:
    """The values of a ledger as keys of the kit's own data, on any storage but Redis.

    Each method is one round trip, unless it says otherwise. There is no time to live.
    """

    def __init__(self, store: KitStore) -> None:
        self._store = store

    @property
    def leases(self) -> AtomicKeyValue:
        """Return this backend: leases are stored like the other values."""
        return self

    def get(self, key: str) -> bytes | None:
        """Return the value of `key`, or None."""
        return self._store.get([PREFIX + key])[0]

    def put_if_absent(self, key: str, value: bytes, seconds: float = 0) -> bool:
        """Write the value if there is none; return whether it was written."""
        return self._store.put_if_absent(PREFIX + key, value)

    def compare_and_set(self, key: str, old: bytes, new: bytes, seconds: float = 0) -> bool:
        """Write `new` if the value is `old`; return whether it was written."""
        return self._store.compare_and_set(PREFIX + key, old, new)

    def compare_and_delete(self, key: str, old: bytes) -> bool:
        """Delete the value if it is `old`, in one round trip, and two for a record."""
        deleted = self._store.compare_and_delete(PREFIX + key, old)
        if deleted and key.startswith(PROCESS):
            self.delete_alive([key[len(PROCESS) :]])
        return deleted

    def read(self) -> StoredValues:
        """Return all values, as they are at one moment.

        They are read in several steps, between which another process may fold a record into the
        totals: then its counters would be missing, or counted twice. So all is read again until
        the totals did not change meanwhile.

        Raises:
            RuntimeError: The totals changed every time.
        """
        before = self.get(TOTALS)
        for _ in range(_TRIES):
            records, alive = self._read(PROCESS), self._read(ALIVE)
            after = self.get(TOTALS)
            if after == before:
                return StoredValues(after, records, alive)
            before = after
        raise RuntimeError(f"{PREFIX}{TOTALS} changed each of {_TRIES} times that it was read")

    def _read(self, kind: str) -> dict[str, bytes]:
        prefix, values = PREFIX + kind, {}
        for keys in self._store.keys(prefix):
            for key, value in zip(keys, self._store.get(keys), strict=True):
                if value is not None:
                    values[key[len(prefix) :]] = value
        return values

    def put_alive(self, process_id: str, value: bytes) -> None:
        """Write ``alive:<process_id>``."""
        self._store.put(f"{PREFIX}{ALIVE}{process_id}", value)

    def delete_alive(self, process_ids: Iterable[str]) -> None:
        """Delete ``alive:<id>`` of each process."""
        self._store.delete([f"{PREFIX}{ALIVE}{process_id}" for process_id in process_ids])

    def run_id(self) -> None:
        """Return None: these storages have no such id."""

    def recently_written(self, ids: Iterable[str]) -> None:
        """Return None: these storages have no time to live."""


class RedisBackend:
    """The values of a ledger as fields of one Redis hash; each method is one round trip.

    With each record a freshness key is written, which expires. Version 0.1 takes a process without
    that key for dead. In this version the key can only prove that a process is alive, because an
    evicting Redis deletes keys with a time to live first. A lease is a key of its own.
    """

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        key = redis_key("ledger", storage.name)
        self._hash = RedisKitStore(storage, key, expiring_key=self._freshness_key)
        self.put_if_absent, self.compare_and_set = (
            self._hash.put_if_absent,
            self._hash.compare_and_set,
        )

    @property
    def leases(self) -> AtomicKeyValue:
        """Return a view of the keys of leases."""
        return RedisExpiringKeys(self._storage, f"{redis_key('lease', self._storage.name)}.")

    def get(self, key: str) -> bytes | None:
        """Return the value of `key`, or None."""
        return self._hash.get([key])[0]

    def compare_and_delete(self, key: str, old: bytes) -> bool:
        """Delete the value if it is `old`, by a script."""
        is_record = key.startswith(PROCESS)
        others = [ALIVE + key[len(PROCESS) :]] if is_record else []
        return self._hash.compare_and_delete(key, old, *others)

    def read(self) -> StoredValues:
        """Read the whole hash, in one command; it has two fields for each process."""
        fields = self._hash.all()
        return StoredValues(
            fields.get(TOTALS), _with_prefix(fields, PROCESS), _with_prefix(fields, ALIVE)
        )

    def put_alive(self, process_id: str, value: bytes) -> None:
        """Write ``alive:<process_id>``, by a script."""
        self._hash.put(ALIVE + process_id, value)

    def delete_alive(self, process_ids: Iterable[str]) -> None:
        """Delete ``alive:<id>`` of each process, by one command."""
        self._hash.delete([ALIVE + process_id for process_id in process_ids])

    def run_id(self) -> str | None:
        """Return the run id of the server; None if this user may not read it."""
        try:
            return str(self._storage.conn.info("server")["run_id"])
        except Exception:  # refused by an ACL, or a server that is like Redis
            return None

    def recently_written(self, ids: Iterable[str]) -> frozenset[str]:
        """Return those of the processes that have a freshness key.

        Call it after `read`: a script writes the key together with the record, so no record is
        read before its key exists.
        """
        ids = list(ids)
        keys = [self._freshness_key(PROCESS + process_id) for process_id in ids]
        values = self._storage.conn.mget(keys) if keys else []
        return frozenset(
            process_id for process_id, value in zip(ids, values, strict=True) if value is not None
        )

    def _freshness_key(self, key: str) -> str:
        return f"{redis_key('fresh', self._storage.name)}.{key}"


def _with_prefix(fields: dict[str, bytes], prefix: str) -> dict[str, bytes]:
    """Return the fields with this prefix, without the prefix."""
    start = len(prefix)
    return {key[start:]: value for key, value in fields.items() if key.startswith(prefix)}
