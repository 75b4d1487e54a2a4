"""The record of this process: written by it alone, each time only over what it wrote before.

So a process that was thought dead, and whose counters were added to the totals, notices it at its
next heartbeat: the compare-and-set fails. It then continues in a new record, ``<id>.2``, with what
it has counted since. The compare-and-set fails as well when the storage was restored or emptied.
Then the process has to find out where its counters are now:

- There is an older record of its own, not sealed: the process continues that one.
- There is no record, and the totals cannot contain it: everything counted is written again.
- There is no record, and the totals name it, or have been replaced so often since that they may
  contain it: the counters count as added, as they were written last. If an older state of them was
  added, the difference is lost.
- The totals are of a ledger that the process has never seen, or there are none: those of before are
  gone. Everything counted is written again.
- The totals cannot be read: the counters count as added.

Nothing is ever counted twice. In doubt the process loses counts.

Two simpler rules were tried, each about 60 lines shorter, in 150 random runs of heartbeats, folds,
snapshots, flushes and restores. To continue, whatever has happened, in a new record with what is
counted from now on: 115 runs lost counts. The same, but to write everything again if the ledger is
one never seen before: 64 runs. Neither rule counted twice, but each loss is of all that the process
has counted since its start, which may be weeks, while the contract allows the loss of the counts
since the last heartbeat. Both rules also leave a restored older record of the process in place: a
second record of a living process, whose tasks count as running for as long as the process lives, so
that no sweep deletes their tokens.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import ref

from ..metrics.values import Totals, difference, merge
from ._backend import PROCESS, TOTALS, LedgerBackend
from ._failure_detector import FORGOTTEN_SECONDS
from ._record import Heartbeat, try_load
from ._totals import Folded, fold, read_or_create_totals, try_load_totals

_TRIES = 5

_of_this_process: dict[tuple[int, str], Callable[[], Any]] = {}
"""The Huey of each record that this process writes, by pid, because a forked child inherits this,
and process id."""


def is_of_this_process(process_id: str) -> bool:
    """Return whether this very process writes the record with this id."""
    return (os.getpid(), process_id) in _of_this_process


def huey_of(process_id: str) -> Any:
    """Return the Huey of a record that this process writes, or None."""
    return _of_this_process.get((os.getpid(), process_id), _no_huey)()


def _no_huey() -> None:
    return None


@dataclass
class _Generation:
    """One id under which this process has written, out of several in a row."""

    id: str
    base: Totals = field(default_factory=dict)
    """What was counted before this generation, and is elsewhere in the same ledger."""
    epoch: str = ""
    """The epoch of that ledger; empty before the first write."""
    revision: int | None = None
    """The revision of the totals before the first write; None if nothing was written."""
    last: Heartbeat | None = None
    """The latest of all records that may have been added to the totals."""

    def note_maybe_folded(self, record: Heartbeat) -> None:
        """Take note that `record` may have been added to the totals."""
        if self.last is None or self.last.sequence <= record.sequence:
            self.last = record

    def counted_before(self, record: Heartbeat | None) -> Totals:
        """Return what the ledger contains once this generation is added to the totals.

        Args:
            record: The record that is added; None if unknown, then the latest that may be.
        """
        folded, counted = record or self.last, dict(self.base)
        merge(counted, {} if folded is None else folded.counters)
        return counted

    def began_in(self, folded: Folded) -> bool:
        """Return whether this generation began in the ledger that has these totals."""
        return self.epoch in ("", folded.epoch) or self.id in folded.ids

    def may_be_in(self, folded: Folded) -> bool:
        """Return whether these totals may contain this generation."""
        return self.revision is not None and folded.may_have(self.id, self.revision)


class OwnRecord:
    """The record that this process has in the ledger, under its first id or a later one.

    After an unanswered write (a timeout), several values may be stored: the one before and the one
    that was sent. They are the *candidates*. As long as the last one is acknowledged, a heartbeat
    is one round trip. Otherwise the stored value is read first, and compared with the candidates.

    Args:
        first_id: The id of the first generation; later ones are ``<first_id>.<number>``.
        fresh_seconds: Seconds for which the record counts as recently written.
        clock: A monotonic clock, in seconds.
        huey: The Huey.
    """

    def __init__(
        self,
        first_id: str,
        fresh_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        huey: Any = None,
    ) -> None:
        self._first_id = first_id
        self._huey: Callable[[], Any] = _no_huey if huey is None else ref(huey)
        self._fresh_seconds = fresh_seconds
        self._clock = clock
        self._generations = [_Generation(first_id)]
        self._sealed: list[str] = []
        """The ids of sealed records that are still to be added to the totals."""
        self._continue(self._generations[0])

    def _continue(
        self, generation: _Generation, raw: bytes = b"", record: Heartbeat | None = None
    ) -> None:
        """Write under the id of `generation` from now on.

        Args:
            generation: The generation.
            raw: The stored value of its record, if there is one.
            record: That record.
        """
        self._current = generation
        self._candidates = [] if record is None else [(raw, record)]
        """The values that may be stored, the latest last."""
        self._acknowledged = True
        """Whether the last candidate is known to be stored (or, without any, that none is)."""
        self._refused = False
        """Whether the last candidate was refused, unless a client has tried twice."""
        _of_this_process[os.getpid(), self.id] = self._huey

    @property
    def id(self) -> str:
        """The id of the current generation."""
        return self._current.id

    def write(self, backend: LedgerBackend, record: Heartbeat, last: bool = False) -> bool:
        """Write `record`, and return whether the value written before was still there.

        If it was not, the ledger may also have lost values of other processes.

        Args:
            backend: The values of the ledger.
            record: The record to write.
            last: Whether to seal the record, so that it can be added to the totals.

        Raises:
            RuntimeError: Other processes replaced the record every time.
        """
        intact = self._acknowledged and bool(self._candidates)
        for _ in range(_TRIES):
            self._resolve(backend)
            counters = difference(record.counters, self._current.base)
            if last and not counters and not self._candidates:
                return False
            own = replace(record, id=self.id, counters=counters, sealed=last)
            if self._put(backend, own):
                return intact
            intact = False
        raise RuntimeError(f"the record {PROCESS}{self.id} is replaced by others each time")

    def fold(self, backend: LedgerBackend) -> None:
        """Add the sealed records to the totals."""
        while self._sealed:
            fold(backend, self._sealed[0])
            del self._sealed[0]

    def _put(self, backend: LedgerBackend, own: Heartbeat) -> bool:
        key, raw = PROCESS + self.id, own.dump()
        before = self._candidates[-1][0] if self._candidates else None
        if before is None and not self._is_same_ledger(backend):
            return False
        # Before the call: if it raises, the value may have been written or not.
        self._acknowledged, self._refused, self._tried_at = False, False, self._clock()
        self._candidates.append((raw, own))
        if before is None:
            self._acknowledged = backend.put_if_absent(key, raw, self._fresh_seconds)
        else:
            self._acknowledged = backend.compare_and_set(key, before, raw, self._fresh_seconds)
        self._refused = not self._acknowledged
        if self._acknowledged:
            self._on_stored(raw, own)
        return self._acknowledged

    def _is_same_ledger(self, backend: LedgerBackend) -> bool:
        """Return whether this is still the ledger that contains the base of this generation."""
        folded, current = read_or_create_totals(backend), self._current
        if folded is not None and current.epoch not in ("", folded.epoch):
            self._recover(backend, folded)
            return False
        if current.revision is None:
            current.revision = 0 if folded is None else folded.revision
        current.epoch = current.epoch if folded is None else folded.epoch
        return True

    def _on_stored(self, raw: bytes, own: Heartbeat) -> None:
        self._candidates, self._acknowledged = [(raw, own)], True
        if own.sealed:
            self._sealed.append(self.id)
            self._begin_after(own)

    def _begin_after(self, folded: Heartbeat) -> None:
        """Begin a new generation, without what the folded record contains."""
        self._current.note_maybe_folded(folded)
        self._begin(self._current.counted_before(folded), self._current.epoch)

    def _begin(self, base: Totals, epoch: str) -> None:
        number = len(self._generations) + 1
        generation = _Generation(f"{self._first_id}.{number}", base, epoch)
        self._generations.append(generation)
        self._continue(generation)

    def _resolve(self, backend: LedgerBackend) -> None:
        """Find out which candidate is stored, unless it is known; recover if none is."""
        if self._acknowledged:
            return
        stored = backend.get(PROCESS + self.id)
        candidate = next((pair for pair in self._candidates if pair[0] == stored), None)
        if candidate is not None:
            self._on_stored(*candidate)
        elif stored is None:
            self._on_missing(backend)
        else:
            self._on_other(stored)

    def _on_other(self, stored: bytes) -> None:
        """Handle another record than the candidates: one restored, or sealed by another process."""
        record, last = try_load(stored), self._candidates[-1][1]
        if record is not None and _is_open(record, self.id) and record.sequence < last.sequence:
            self._continue(self._current, stored, record)
        else:
            self._begin_after(record or last)

    def _on_missing(self, backend: LedgerBackend) -> None:
        raw = backend.get(TOTALS)
        folded = try_load_totals(raw)
        # A candidate that was refused was not stored, unless a client has tried twice.
        last = self._candidates[-2:][0 if self._refused else -1][1]
        if raw is None or folded is not None:
            self._current.note_maybe_folded(last)
            self._recover(backend, folded)
        elif self._is_unwritten and self._clock() - self._tried_at < FORGOTTEN_SECONDS:
            self._continue(self._current)
        else:
            self._begin_after(last)

    @property
    def _is_unwritten(self) -> bool:
        """Whether no write under this id was ever acknowledged."""
        return len(self._candidates) < 2

    def _recover(self, backend: LedgerBackend, folded: Folded | None) -> None:
        """Continue after the latest generation that this ledger has, or has added to its totals.

        Called when the record is missing.

        Args:
            backend: The values of the ledger.
            folded: The totals; None if there are none.
        """
        current, base, is_known = self._current, Totals(), False
        for generation in self._generations[::-1]:
            if folded is None or not generation.began_in(folded):
                continue
            stored = None if generation is current else backend.get(PROCESS + generation.id)
            record = None if stored is None else try_load(stored)
            if stored is not None and record is not None and _is_open(record, generation.id):
                return self._continue(generation, stored, record)
            if stored is not None or generation.may_be_in(folded):
                base = generation.counted_before(record)
                break
            is_known = is_known or generation is current
        if is_known and self._is_unwritten and base == current.base:
            # The write may still be under way: under another id it would count twice.
            return self._continue(current)
        return self._begin(base, "" if folded is None else folded.epoch)


def _is_open(record: Heartbeat, process_id: str) -> bool:
    return record.id == process_id and not record.sealed
