"""The counters of processes that are gone, each added once.

Two values say it together: the record of a process, and the totals, which name whose counters
are in them. A process's counters go over in three steps, each of them atomic, and whoever finds
them half done goes on from there:

1. The record is *sealed*: from now on it never changes. A process that was only thought dead
   finds that its record does, and goes on in a new one, from zero.
2. The totals are replaced by the same with those counters added and the process named.
3. The record is deleted.

A reader counts a record unless the totals name its process. The name is left out of the totals
with a later step 2, when the record is gone and `KEPT` others went in since: so a process whose
record is missing can tell whether it was folded, or lost with a server that was restored. Before
each step 2, the totals are read before the record is: a record that is still there was not in
those totals, unless they name it, and totals that were replaced since are not replaced again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from ..metrics import serialize
from ..metrics.values import Totals, merge
from ..runtime.process_id import FOREIGN_DATA_ERRORS
from ._backend import PROCESS, TOTALS, LedgerBackend
from ._record import Heartbeat, parsed, try_load

_VERSION = 1
_TRIES = 1000
KEPT = 200
"""How many of those that went in last the totals name in any case."""


@dataclass(frozen=True)
class Folded:
    """The totals of all that are gone."""

    epoch: str
    """Which ledger this is: after a flush it is another one."""
    revision: int
    """No two totals are ever the same."""
    ids: tuple[str, ...]
    """Whose counters are in here already, though the record may still be there; last the last."""
    recent: int
    """So many of them, at the end, went in one after another."""
    counters: Totals

    def may_have(self, process_id: str, since: int) -> bool:
        """Whether the process may be in here, whose record began when *since* was the revision."""
        return process_id in self.ids or self.revision - self.recent > since

    def dump(self) -> bytes:
        """As it is stored."""
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
    """What `Folded.dump` has made; None if it is anything else."""
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


def opened(backend: LedgerBackend) -> Folded | None:
    """The totals, begun where there are none; None if they cannot be read."""
    return try_load_totals(_open(backend))


def _open(backend: LedgerBackend) -> bytes:
    """The totals as they stand, with new ones begun where there are none."""
    for _ in range(_TRIES):
        raw = backend.get(TOTALS)
        if raw is not None:
            return raw
        backend.put_if_absent(TOTALS, Folded(uuid4().hex, 0, (), 0, {}).dump())
    raise RuntimeError("the totals of the ledger are not there when they have been written")


def fold(backend: LedgerBackend, process_id: str) -> bool:
    """Have the counters of a process that is gone in the totals; whether it was this call.

    What this version cannot read it leaves to one that can.
    """
    key = PROCESS + process_id
    for _ in range(_TRIES):
        before = _open(backend)
        folded, raw = try_load_totals(before), backend.get(key)
        record = None if raw is None else try_load(raw)
        if folded is None or raw is None or record is None:
            return False
        if not record.sealed:
            sealed = replace(record, sealed=True).dump()
            if not backend.compare_and_set(key, raw, sealed):
                return False  # it lives, or another one is at it
            raw = sealed
        added = process_id not in folded.ids
        if added and not backend.compare_and_set(
            TOTALS, before, _with(backend, folded, record).dump()
        ):
            continue
        backend.compare_and_delete(key, raw)
        return added
    raise RuntimeError(f"the totals changed each of {_TRIES} times before {key} was added")


def _with(backend: LedgerBackend, folded: Folded, record: Heartbeat) -> Folded:
    counters = dict(folded.counters)
    merge(counters, record.counters)
    recent = min(folded.recent + 1, KEPT)
    ids = (*folded.ids, record.id)
    older = [each for each in ids[:-recent] if backend.get(PROCESS + each) is not None]
    return Folded(folded.epoch, folded.revision + 1, (*older, *ids[-recent:]), recent, counters)
