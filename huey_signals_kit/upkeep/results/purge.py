"""Delete unread results: no caller has fetched them.

Huey stores what a task returns until a caller fetches it, and then deletes it. A result that no
caller ever fetches stays. No key says how old it is, and none says whether a caller will come. So a
result is deleted only when two purges, at least `min_age` apart, have found it with the same
bytes.

What counts as a result
  - The key is an id that Huey generated, ``str(uuid.uuid4())``. So locks, tokens, pause switches,
    rate windows, parts of chords, records of Django's own tasks and everything that an application
    stores under names of its own are not results.
  - The value is not an error. A stored error says why a task has failed; there is a purge for
    errors, by class (`purge_errors`). That leaves alone errors that expire, and errors stored on
    purpose.
  - The value begins and ends as a pickle does. A value that is no pickle, is cut off, or lacks the
    signature of this Huey, stays. The inside is read only if it may be an error.

What is left alone
  - A result of a task that is in the queue or the schedule, or runs, or is nested in such a task;
    and one whose id is in the arguments of such a task, because the task may fetch it. Such a
    result loses its mark; the waiting time begins again when the task is gone.
  - A result that was stored again with other bytes, also between its read and its deletion.
  - Everything while a message or a record of a process cannot be read.

What a purge cannot see
  - A caller that waits. `min_age` has to be longer than the time between the end of a task and the
    moment when its result is fetched. A caller that waits for a group or a chord fetches the
    results in order, so `min_age` has to be longer than the whole group takes.
  - A caller that reads with ``preserve=True``. The same is true of `RedisExpireHuey`, where a
    fetched result stays until its time is over.
  - A value that an application stores itself under a bare UUID, with ``huey.put``.
  - A task that runs in a consumer without the kit, and an id in its arguments; nor an id that is
    not text in the arguments, such as a `uuid.UUID`.
  - That a result was fetched, and stored again with the same bytes: a task that an application
    enqueues once more, with the same id.
  - A clock that was wrong at the first purge.

A mark is a digest of the id and of the stored bytes, 16 bytes. Marks are stored as those of tokens
are (`tokens.marks`). There are at most `MAX_MARKS` in each of 256 values, so at most 4,194,304 of
64 MiB together; what is beyond is marked by later purges.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

from ..._checks import check_huey
from ...store import UPKEEP, chunks, open_kit_store
from ...store.keys import Keys
from ...store.protocol import Entry
from ...store.reader import Unreadable
from ...store.tokens import ID_LENGTH, pack_ids
from .._common import Stopped, to_datetime
from .._ids import SIZE, iter_ids, pack_id, unpack_id
from .._limits import WEEK
from .._mark_and_delete import READ, Classified, MarkAndDelete
from ..tokens import marks
from ..tokens.sweeper import Sweeper
from .rows import DueResults, ResultSlice, Row, Rows

_ERRORS, _UNREADABLE = "errors", "unreadable"
"""The names of counts."""

_SOME_ID = "00000000-0000-4000-8000-000000000000"
PREFIX = "huey-signals:result-marks:"
MAX_MARKS = 16_384
"""The number of marks in one bucket, 256 KiB."""

SLICE_SIZE = 400_000
"""Results that are read before the places of tasks are read; each takes 36 bytes of memory."""

DELETE_BATCH = 4000
"""Results that are deleted without checking again whether they are live."""

READ_BATCH = 500
"""Values that are read again in one command."""

DELETE_BYTES = 4 * 1024 * 1024
"""Bytes of values that are read again together before they are deleted."""


@dataclass(frozen=True)
class ResultPurgeReport:
    """The result of a purge of unread results.

    Each of the `results` is counted in one of `live`, `new`, `waiting`, `unmarked`, `deleted` and
    `undecided`.
    """

    scanned: int = 0
    """Keys of the store that were read."""
    results: int = 0
    """Results of tasks whose ids Huey has generated."""
    live: int = 0
    """Results of tasks that can still run, or can be read by one."""
    new: int = 0
    """Results that were found for the first time, or have changed since: now marked."""
    waiting: int = 0
    """Results that an earlier purge has marked, less than `min_age` ago."""
    unmarked: int = 0
    """Results that were not marked because there are too many marks; a later purge marks them."""
    deleted: int = 0
    """Results that were deleted; in a dry run, results that would be."""
    undecided: int = 0
    """Results that were replaced or fetched meanwhile, may belong to another queue, or may be
    live."""
    errors: int = 0
    """Stored errors under ids that Huey has generated; left alone."""
    unreadable: int = 0
    """Values under such ids that cannot be read; left alone."""
    seconds: float = 0.0
    stopped: str = ""
    """The reason why deleting stopped, if it did."""
    dry_run: bool = False


class ResultPurgeStopped(Stopped):
    """The error of a purge that stopped early; `report` has what was done until then."""

    report: ResultPurgeReport
    work = "the purge of results of"


class ResultPurge(MarkAndDelete[list[Entry], ResultSlice, Rows, list[Row]]):
    """One purge of the results of a Huey."""

    prefix = PREFIX
    max_marks = MAX_MARKS

    def __init__(self, huey: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(huey, *args, **kwargs)
        self._keys = Keys(huey)
        self._may_be_foreign = not self._keys.is_of_this_queue(_SOME_ID, None)

    def report(self) -> ResultPurgeReport:
        """Return the report so far."""
        counts = dict(self._counts)
        return ResultPurgeReport(
            results=counts.pop(READ, 0),
            **counts,
            seconds=self._seconds(),
            stopped=self._stopped,
            dry_run=self._dry_run,
        )

    def run(self) -> ResultPurgeReport:
        """Read all results, slice by slice, and delete the due ones of each slice.

        Raises:
            ResultPurgeStopped: It failed halfway, as when the storage became unreachable.
        """
        try:
            self._run()
        except Exception as exc:
            raise ResultPurgeStopped(self._queue, self.report(), exc) from exc
        return self.report()

    def _read(self) -> Iterator[list[Entry]]:
        return self._store.entries()

    def _new_slice(self, started: float) -> ResultSlice:
        return ResultSlice(started)

    def _add(self, batch: list[Entry], current: ResultSlice) -> bool:
        self._counts["scanned"] += len(batch)
        for packed, entry in _generated(batch):
            key, value, _, is_fetched = entry
            kind = self._kind(value) if is_fetched else _UNREADABLE
            self._counts[kind] += 1
            if kind == READ:
                if self._may_be_foreign and not self._keys.is_of_this_queue(key, None):
                    self._counts["undecided"] += 1
                else:
                    current.add(_digest(packed, value), packed, len(value))
        return current.size >= SLICE_SIZE

    def _kind(self, value: bytes) -> str:
        """Return the name of the count for a value under an id that Huey has generated."""
        try:
            return _ERRORS if self._reader.is_error(value) else READ
        except Unreadable:
            return _UNREADABLE

    def _classify_rows(self, current: ResultSlice, rows: Rows) -> Classified:
        live_ids = self._live_ids.live
        live = {mark for mark, rest in rows.items() if rest[:SIZE] in live_ids}
        return Classified(live, rows.keys() - live, 0)

    def _new_deletions(self) -> DueResults:
        return DueResults()

    def _batches(self, deletions: DueResults, number: int) -> Iterator[list[Row]]:
        return deletions.batches(number, DELETE_BATCH, DELETE_BYTES)

    def _marks_of(self, batch: list[Row]) -> set[bytes]:
        return {mark for mark, _, _ in batch}

    def _delete_batch(self, current: ResultSlice, batch: list[Row]) -> tuple[int, int]:
        newly_seen = self._live_ids.newly_seen
        unused = [(mark, packed) for mark, packed, _ in batch if packed not in newly_seen]
        keys = [unpack_id(packed) for _, packed in unused]
        values = [value for some in chunks(keys, READ_BATCH) for value in self._store.get(some)]
        rows = zip(keys, values, unused, strict=True)
        pairs = [
            (key, value)
            for key, value, (mark, packed) in rows
            if value is not None and _digest(packed, value) == mark
        ]
        deleted = self._store.compare_and_delete_many(pairs)
        return len(batch) - len(unused), len(deleted)


class ResultPurger(Sweeper):
    """The purges of one Huey's results, one purge at a time."""

    work = ResultPurge
    report = ResultPurgeReport
    function = "purge_results()"
    lease_name = "result purge"
    doing = "purging results"

    def _store_end(self) -> None:
        """Store nothing: reports show only the end of a sweep of tokens."""


def purge_results(
    huey: Any,
    min_age: float = WEEK,
    dry_run: bool = False,
    *,
    wait: float = 0.0,
    clock: Callable[[], float] = time.time,
    on_progress: Callable[[ResultPurgeReport], object] | None = None,
) -> ResultPurgeReport:
    """Delete unread results: two purges, `min_age` apart, have found them unchanged.

    The first purge only marks the results. One process purges at a time: if another process is
    purging, nothing is done, and the report says so.

    Args:
        huey: The Huey, with a kit or without.
        min_age: Seconds between the two purges; longer than any caller waits for a result.
        dry_run: Delete nothing and mark nothing.
        wait: Seconds to wait at most for another process that is purging.
        clock: Returns seconds since the epoch.
        on_progress: Called repeatedly with the report so far.

    Raises:
        ResultPurgeStopped: It failed halfway, as when the storage became unreachable.
    """
    huey = check_huey(huey, "purge_results()")
    purger = ResultPurger(huey, clock)
    report: ResultPurgeReport = purger.run(min_age, dry_run, wait=wait, on_progress=on_progress)
    return report


def next_purge(huey: Any, min_age: float) -> datetime | None:
    """Return the time from which on a purge deletes the result with the oldest mark.

    Args:
        huey: The Huey.
        min_age: The age of a mark after which its result is deleted, in seconds.
    """
    _, oldest = marks.summary(open_kit_store(huey, UPKEEP), PREFIX)
    return None if oldest is None else to_datetime(oldest + min_age)


def _generated(batch: list[Entry]) -> Iterable[tuple[bytes, Entry]]:
    """Return the entries whose keys are ids that Huey has generated, with the packed ids."""
    entries = [entry for entry in batch if len(entry.key) == ID_LENGTH and entry.key.isascii()]
    ids = pack_ids([entry.key for entry in entries])
    if ids is not None:
        return zip(iter_ids(ids), entries, strict=True)
    # At least one is of another form.
    pairs = ((pack_id(entry.key), entry) for entry in entries)
    return [(packed, entry) for packed, entry in pairs if packed is not None]


def _digest(packed_id: bytes, value: bytes) -> bytes:
    return blake2b(packed_id + value, digest_size=SIZE).digest()
