"""Where the ledger stands: values under keys that change only if they are what one thinks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..store.protocol import Store

TOTALS = "totals"
PROCESS = "process:"
PREFIX = "huey-signals:"
_TRIES = 100


class Cells(Protocol):
    """Values under keys. One that is written with *seconds* may be gone after these."""

    def get(self, key: str) -> bytes | None:
        """The value of *key*."""

    def put_new(self, key: str, value: bytes, seconds: float = 0) -> bool:
        """Write it if there is none."""

    def replace_same(self, key: str, old: bytes, new: bytes, seconds: float = 0) -> bool:
        """Write *new* if *old* stands there."""

    def delete_same(self, key: str, old: bytes) -> bool:
        """Delete it if *old* stands there."""


class Shelf(Cells, Protocol):
    """One ledger. A process's record keeps its value; *seconds* are how long it is fresh."""

    @property
    def leases(self) -> Cells:
        """Where leases stand; there a value may be gone after its seconds."""

    def read(self) -> tuple[bytes | None, dict[str, bytes]]:
        """The totals and every process's record, by id, as they stood at one moment."""

    def fresh(self, ids: Iterable[str]) -> frozenset[str] | None:
        """Those of the processes *ids* that are fresh, or None where no server keeps the time."""


class StoreShelf:
    """Beside the results, under ``huey-signals:``, on any storage."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def leases(self) -> Cells:
        """Here as well."""
        return self

    def get(self, key: str) -> bytes | None:
        """One round trip."""
        return self._store.get([PREFIX + key])[0]

    def put_new(self, key: str, value: bytes, seconds: float = 0) -> bool:
        """One round trip; the time is nobody's concern."""
        return self._store.put_new(PREFIX + key, value)

    def replace_same(self, key: str, old: bytes, new: bytes, seconds: float = 0) -> bool:
        """One round trip."""
        return self._store.replace_same(PREFIX + key, old, new)

    def delete_same(self, key: str, old: bytes) -> bool:
        """One round trip."""
        return self._store.delete_same(PREFIX + key, old)

    def read(self) -> tuple[bytes | None, dict[str, bytes]]:
        """Again, if a dead process's counters went into the totals meanwhile."""
        before = self.get(TOTALS)
        for _ in range(_TRIES):
            records = self._records()
            now = self.get(TOTALS)
            if now == before:
                return now, records
            before = now
        raise RuntimeError(f"{PREFIX}{TOTALS} changed each of {_TRIES} times that it was read")

    def _records(self) -> dict[str, bytes]:
        prefix = PREFIX + PROCESS
        batches = self._store.entries(prefix)
        return {entry.key[len(prefix) :]: entry.value for batch in batches for entry in batch}

    def fresh(self, ids: Iterable[str]) -> None:
        """No server keeps the time."""
