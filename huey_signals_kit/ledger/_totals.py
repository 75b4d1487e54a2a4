"""The counters of processes that are gone, each added once.

Adding them takes two values: the record of the process, and the totals, which name the processes
whose counters they contain. No storage changes both in one step everywhere, and any process may be
killed between two steps. So a record is *folded* into the totals in three steps, each of them
atomic, and the next process that finds a fold half done continues it:

1. The record is *sealed*: from now on it never changes. A process that was only thought dead finds
   its record sealed at its next heartbeat, and continues in a new one, from zero.
2. The totals are replaced by the same with those counters added and the process named.
3. The record is deleted.

A reader counts a record unless the totals name its process. So the counters are counted once at
every moment: from the record before step 2, from the totals after it.

The totals cannot name every process forever. A name is left out by a later step 2, once the record
is deleted and `KEPT` other processes were added since. So a process whose record is missing can
find out whether it was folded, or lost with a storage that was restored.

Before each step 2, the totals are read before the record is. A record that still exists is not
contained in those totals, unless they name it; and totals that were replaced since then are not
replaced again, because that is a compare-and-set.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from ..metrics import serialize
from ..metrics.values import Totals, merge
from ..runtime.process_id import FOREIGN_DATA_ERRORS
from ._backend import PROCESS, TOTALS, LedgerBackend, open_backend
from ._record import Heartbeat, parsed, try_load

_VERSION = 1
_TRIES = 1000

KEPT = 200
"""Number of processes added last that the totals always name."""


@dataclass(frozen=True)
class Folded:
    """The totals of all processes that are gone."""

    epoch: str
    """A random id of this ledger: after a flush there is another one."""
    revision: int
    """The number of processes that were added; no two totals of a ledger have the same."""
    ids: tuple[str, ...]
    """The processes that the totals name, the latest last; their records may still exist."""
    recent: int
    """How many of `ids`, at the end, were added one after another with none left out."""
    counters: Totals

    def may_have(self, process_id: str, since: int) -> bool:
        """Return whether the totals may contain a process.

        Args:
            process_id: The id of its record.
            since: The revision when the record was first written.
        """
        return process_id in self.ids or self.revision - self.recent > since

    def dump(self) -> bytes:
        """Return the stored form."""
        content = {
            "version": _VERSION,
            "epoch": self.epoch,
            "revision": self.revision,
            "ids": self.ids,
            "recent": self.recent,
            **serialize.dump(self.counters),
        }
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def try_load_totals(raw: bytes | None) -> Folded | None:
    """Parse what `Folded.dump` returned; return None if it is anything else."""
    try:
        return None if raw is None else _load(raw)
    except FOREIGN_DATA_ERRORS:
        return None


def _load(raw: bytes) -> Folded:
    content: Any = parsed(raw)
    if content["version"] != _VERSION:
        raise ValueError(f"the version {content['version']!r}")
    epoch, revision = str(content["epoch"]), int(content["revision"])
    ids, recent = tuple(map(str, content["ids"])), int(content.get("recent", 0))
    return Folded(epoch, revision, ids, recent, serialize.load(content))


def read_or_create_totals(backend: LedgerBackend) -> Folded | None:
    """Return the totals, after writing empty ones if there are none; None if unreadable."""
    return try_load_totals(_read_or_create(backend))


def _read_or_create(backend: LedgerBackend) -> bytes:
    for _ in range(_TRIES):
        raw = backend.get(TOTALS)
        if raw is not None:
            return raw
        backend.put_if_absent(TOTALS, Folded(uuid4().hex, 0, (), 0, {}).dump())
    raise RuntimeError(f"the totals of the ledger were deleted {_TRIES} times after being written")


def fold(backend: LedgerBackend, process_id: str) -> bool:
    """Add the counters of a process that is gone to the totals; return whether this call did.

    A record or totals that this version cannot read are left to one that can.

    Args:
        backend: The values of the ledger.
        process_id: The id of the record.

    Raises:
        RuntimeError: Other processes changed the totals every time.
    """
    key = PROCESS + process_id
    for _ in range(_TRIES):
        before = _read_or_create(backend)
        folded, raw = try_load_totals(before), backend.get(key)
        record = None if raw is None else try_load(raw)
        if folded is None or raw is None or record is None:
            return False
        if not record.sealed:
            sealed = replace(record, sealed=True).dump()
            if not backend.compare_and_set(key, raw, sealed):
                return False  # the process is alive, or another one is folding it
            raw = sealed
        is_new = process_id not in folded.ids
        if is_new and not backend.compare_and_set(
            TOTALS, before, _with(backend, folded, record).dump()
        ):
            continue
        backend.compare_and_delete(key, raw)
        return is_new
    raise RuntimeError(f"the totals changed each of {_TRIES} times before {key} was added")


def _with(backend: LedgerBackend, folded: Folded, record: Heartbeat) -> Folded:
    """Return the totals with a process added, and without names that are no longer needed."""
    counters = dict(folded.counters)
    merge(counters, record.counters)
    recent = min(folded.recent + 1, KEPT)
    ids = (*folded.ids, record.id)
    older = [id_ for id_ in ids[:-recent] if backend.get(PROCESS + id_) is not None]
    return Folded(folded.epoch, folded.revision + 1, (*older, *ids[-recent:]), recent, counters)


def remove_record(huey: Any, name: str, dry_run: bool = False) -> bool:
    """Delete one record of the ledger of `huey`; return whether there was one.

    Args:
        huey: The Huey.
        name: The id of a process, whose counters go into the totals; or ``totals``.
        dry_run: Delete nothing.
    """
    backend, key = open_backend(huey), name if name == TOTALS else PROCESS + name
    raw = backend.get(key)
    if raw is None or dry_run:
        return raw is not None
    if key == TOTALS or try_load(raw) is None:
        return backend.compare_and_delete(key, raw)
    fold(backend, name)
    return backend.get(key) is None
