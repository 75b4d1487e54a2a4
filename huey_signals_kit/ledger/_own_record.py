"""The record of this process: written by it alone, each time only over what it wrote before.

So a process that was thought dead, and whose counters went into the totals, learns it when it
writes again; it goes on in a new record with what it has counted since. It learns as well when
the server was restored or flushed, and looks where its counters are now:

- An older record of its own, not sealed: that one goes on, and nothing is lost.
- No record, and the totals cannot have it: all that it has counted is written anew.
- No record, and the totals name it, or have named so many since that they may have had it: it
  counts as folded with what was written last. Lost is what that had and the folded one had not.
- Totals that it has never seen, or none: those of before are gone. All is written anew.
- Totals that cannot be read: nobody can say, so it counts as folded.

Nothing is ever counted twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import ref

from ..metrics.values import Totals, added, merge
from ._backend import PROCESS, TOTALS, LedgerBackend
from ._failure_detector import FORGOTTEN_SECONDS
from ._record import Heartbeat, try_load
from ._totals import Folded, fold, opened, try_load_totals

_TRIES = 5
# Whose tasks each record has that this process writes; with the process, as a child is another.
_of_this_process: dict[tuple[int, str], Callable[[], Any]] = {}


def is_of_this_process(process_id: str) -> bool:
    """Whether the record with this id is one that this very process writes."""
    return (os.getpid(), process_id) in _of_this_process


def huey_of(process_id: str) -> Any:
    """The Huey that a record of this process is about, or None."""
    return _of_this_process.get((os.getpid(), process_id), _nothing)()


def _nothing() -> None:
    return None


@dataclass
class _Incarnation:
    """One record in which this process has written."""

    id: str
    base: Totals = field(default_factory=dict)
    """What was counted before it, and is elsewhere in the same ledger."""
    epoch: str = ""
    """Which ledger that is; empty before the first write."""
    revision: int | None = None
    """Of the totals, before the first write."""
    last: Heartbeat | None = None
    """The latest of all that may have been folded."""

    def note(self, record: Heartbeat) -> None:
        """It may be folded with *record*."""
        if self.last is None or self.last.sequence <= record.sequence:
            self.last = record

    def after(self, record: Heartbeat | None) -> Totals:
        """What is counted elsewhere once *record* is folded, or the last if it is not known."""
        folded, counted = record or self.last, dict(self.base)
        merge(counted, {} if folded is None else folded.counters)
        return counted

    def is_in(self, folded: Folded) -> bool:
        """Whether it was begun in the ledger that has these totals."""
        return self.epoch in ("", folded.epoch) or self.id in folded.ids

    def may_be_in(self, folded: Folded) -> bool:
        """Whether these totals may have it; they have none that was never written."""
        return self.revision is not None and folded.may_have(self.id, self.revision)


class OwnRecord:
    """What one process has in the ledger, under *first_id* and, later, others made from it."""

    def __init__(
        self,
        first_id: str,
        fresh_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        huey: Any = None,
    ) -> None:
        self._first_id = first_id
        self._huey: Callable[[], Any] = _nothing if huey is None else ref(huey)
        self._fresh_seconds = fresh_seconds
        self._clock = clock
        self._turns = [_Incarnation(first_id)]
        self._sealed: list[str] = []
        self._begin(self._turns[0])

    def _begin(
        self, turn: _Incarnation, found: bytes = b"", record: Heartbeat | None = None
    ) -> None:
        """Go on in *turn*, whose *record* was *found*, if there is one."""
        self._turn = turn
        self._candidates = [] if record is None else [(found, record)]
        self._acknowledged = True
        """Whether the last of these is what stands in the ledger, rather than one of them."""
        self._refused = False
        """Whether the last of these was not written, unless the client has tried twice."""
        _of_this_process[os.getpid(), self.id] = self._huey

    @property
    def id(self) -> str:
        """Under which it is written now."""
        return self._turn.id

    def write(self, backend: LedgerBackend, record: Heartbeat, last: bool = False) -> bool:
        """Write *record*, and return whether the value written before was still there.

        If it was not, the ledger may also have lost values of other processes.

        Args:
            shelf: The values of the ledger.
            record: The record to write.
            last: Whether to seal the record, so that it can be added to the totals.
        """
        intact = self._acknowledged and bool(self._candidates)
        for _ in range(_TRIES):
            self._resolve(backend)
            counters = added(record.counters, self._turn.base)
            if last and not counters and not self._candidates:
                return False
            mine = replace(record, id=self.id, counters=counters, sealed=last)
            if self._put(backend, mine):
                return intact
            intact = False
        raise RuntimeError(f"the record {PROCESS}{self.id} is replaced by others each time")

    def fold(self, backend: LedgerBackend) -> None:
        """Add what was written last to the totals."""
        while self._sealed:
            fold(backend, self._sealed[0])
            del self._sealed[0]

    def _put(self, backend: LedgerBackend, mine: Heartbeat) -> bool:
        key, raw = PROCESS + self.id, mine.dump()
        before = self._candidates[-1][0] if self._candidates else None
        if before is None and not self._is_there(backend):
            return False
        # First: what is raised from below tells nothing of what was written.
        self._acknowledged, self._refused, self._tried = False, False, self._clock()
        self._candidates.append((raw, mine))
        if before is None:
            self._acknowledged = backend.put_if_absent(key, raw, self._fresh_seconds)
        else:
            self._acknowledged = backend.compare_and_set(key, before, raw, self._fresh_seconds)
        self._refused = not self._acknowledged
        if self._acknowledged:
            self._stands(raw, mine)
        return self._acknowledged

    def _is_there(self, backend: LedgerBackend) -> bool:
        """Whether this is still the ledger that the base is about."""
        folded, turn = opened(backend), self._turn
        if folded is not None and turn.epoch not in ("", folded.epoch):
            self._recover(backend, folded)
            return False
        if turn.revision is None:
            turn.revision = 0 if folded is None else folded.revision
        turn.epoch = turn.epoch if folded is None else folded.epoch
        return True

    def _stands(self, raw: bytes, mine: Heartbeat) -> None:
        self._candidates, self._acknowledged = [(raw, mine)], True
        if mine.sealed:
            self._sealed.append(self.id)
            self._go_on(mine)

    def _go_on(self, folded: Heartbeat) -> None:
        """In a new record, without what the *folded* one has."""
        self._turn.note(folded)
        self._begin_new(self._turn.after(folded), self._turn.epoch)

    def _begin_new(self, base: Totals, epoch: str) -> None:
        turn = _Incarnation(f"{self._first_id}.{len(self._turns) + 1}", base, epoch)
        self._turns.append(turn)
        self._begin(turn)

    def _resolve(self, backend: LedgerBackend) -> None:
        if self._acknowledged:
            return
        found = backend.get(PROCESS + self.id)
        written = next((pair for pair in self._candidates if pair[0] == found), None)
        if written is not None:
            self._stands(*written)
        elif found is None:
            self._is_gone(backend)
        else:
            self._is_another(found)

    def _is_another(self, found: bytes) -> None:
        record, last = try_load(found), self._candidates[-1][1]
        if record is not None and _is_open(record, self.id) and record.sequence < last.sequence:
            self._begin(self._turn, found, record)
        else:
            self._go_on(record or last)

    def _is_gone(self, backend: LedgerBackend) -> None:
        raw = backend.get(TOTALS)
        folded = try_load_totals(raw)
        # What was refused cannot be what was folded.
        last = self._candidates[-2:][0 if self._refused else -1][1]
        if raw is None or folded is not None:
            self._turn.note(last)
            self._recover(backend, folded)
        elif self._is_unanswered and self._clock() - self._tried < FORGOTTEN_SECONDS:
            self._begin(self._turn)
        else:
            self._go_on(last)

    @property
    def _is_unanswered(self) -> bool:
        """Whether nothing is known to have been written under this id."""
        return len(self._candidates) < 2

    def _recover(self, backend: LedgerBackend, folded: Folded | None) -> None:
        """The record is missing: go on from the last one that this ledger has, or had."""
        present, base, again = self._turn, Totals(), False
        for turn in self._turns[::-1]:
            if folded is None or not turn.is_in(folded):
                continue
            found = None if turn is present else backend.get(PROCESS + turn.id)
            record = None if found is None else try_load(found)
            if found is not None and record is not None and _is_open(record, turn.id):
                return self._begin(turn, found, record)
            if found is not None or turn.may_be_in(folded):
                base = turn.after(record)
                break
            again = again or turn is present
        if again and self._is_unanswered and base == present.base:
            return self._begin(present)  # under another id it could come through as well
        return self._begin_new(base, "" if folded is None else folded.epoch)


def _is_open(record: Heartbeat, process_id: str) -> bool:
    return record.id == process_id and not record.sealed
