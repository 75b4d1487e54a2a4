"""The values of a ledger, written by compare-and-set.

A process has two values: its record ``process:<id>``, and ``alive:<id>``, which a native thread
writes without comparing, so that it changes even while the scheduler of the process cannot run.
Both are stored where `open_kit_store` says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from ..store import KitStore

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
    """Values under keys. One that is written with *seconds* may be gone after these."""

    def get(self, key: str) -> bytes | None:
        """The value of *key*."""

    def put_if_absent(self, key: str, value: bytes, seconds: float = 0) -> bool:
        """Write it if there is none."""

    def compare_and_set(self, key: str, old: bytes, new: bytes, seconds: float = 0) -> bool:
        """Write *new* if *old* stands there."""

    def compare_and_delete(self, key: str, old: bytes) -> bool:
        """Delete the value if it is *old*; with a record, ``alive:<id>`` is deleted too."""


class LedgerBackend(AtomicKeyValue, Protocol):
    """One ledger. A process's record keeps its value; *seconds* are how long it is fresh."""

    @property
    def leases(self) -> AtomicKeyValue:
        """Where leases stand; there a value may be gone after its seconds."""

    def read(self) -> StoredValues:
        """Return all values, as they are at one moment."""

    def put_alive(self, process_id: str, value: bytes) -> None:
        """Write ``alive:<process_id>``."""

    def delete_alive(self, process_ids: Iterable[str]) -> None:
        """Delete ``alive:<id>`` of each process."""

    def run_id(self) -> str | None:
        """Return an id of the server that changes when it restarts; None if unknown."""

    def recently_written(self, ids: Iterable[str]) -> frozenset[str] | None:
        """Those of the processes *ids* that are fresh, or None where no server keeps the time."""


class StoreBackend:
    """The values of a ledger as keys of the kit's own data, on any storage but Redis."""

    def __init__(self, store: KitStore) -> None:
        self._store = store

    @property
    def leases(self) -> AtomicKeyValue:
        """Here as well."""
        return self

    def get(self, key: str) -> bytes | None:
        """One round trip."""
        return self._store.get([PREFIX + key])[0]

    def put_if_absent(self, key: str, value: bytes, seconds: float = 0) -> bool:
        """One round trip; the time is nobody's concern."""
        return self._store.put_if_absent(PREFIX + key, value)

    def compare_and_set(self, key: str, old: bytes, new: bytes, seconds: float = 0) -> bool:
        """One round trip."""
        return self._store.compare_and_set(PREFIX + key, old, new)

    def compare_and_delete(self, key: str, old: bytes) -> bool:
        """Delete the value if it is *old*, in one round trip, and two for a record."""
        deleted = self._store.compare_and_delete(PREFIX + key, old)
        if deleted and key.startswith(PROCESS):
            self.delete_alive([key[len(PROCESS) :]])
        return deleted

    def read(self) -> StoredValues:
        """Read all values; again if counters of a dead process went into the totals meanwhile."""
        before = self.get(TOTALS)
        for _ in range(_TRIES):
            records, alive = self._read(PROCESS), self._read(ALIVE)
            now = self.get(TOTALS)
            if now == before:
                return StoredValues(now, records, alive)
            before = now
        raise RuntimeError(f"{PREFIX}{TOTALS} changed each of {_TRIES} times that it was read")

    def _read(self, kind: str) -> dict[str, bytes]:
        prefix, found = PREFIX + kind, {}
        for keys in self._store.keys(prefix):
            for key, value in zip(keys, self._store.get(keys), strict=True):
                if value is not None:
                    found[key[len(prefix) :]] = value
        return found

    def put_alive(self, process_id: str, value: bytes) -> None:
        """Write the value, in one round trip."""
        self._store.put(f"{PREFIX}{ALIVE}{process_id}", value)

    def delete_alive(self, process_ids: Iterable[str]) -> None:
        """Delete the values, in one round trip."""
        self._store.delete([f"{PREFIX}{ALIVE}{each}" for each in process_ids])

    def run_id(self) -> None:
        """Return None: these storages have no such id."""

    def recently_written(self, ids: Iterable[str]) -> None:
        """No server keeps the time."""
