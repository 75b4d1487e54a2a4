"""Mark unused rows of the store, and delete those that an earlier run has marked.

This is the part that the sweep of tokens and the purge of results have in common; a row is a token
or a result. Rows are read in slices. After each slice, every location where a task can be is read.
Only then it is decided which rows are marked, and which are deleted because a run at least
`min_age` ago has marked them. The docstring of `tokens.sweep` has the reasons.
"""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from ..ledger import Ledger, UnreadableLedger
from ..store import UPKEEP, open_kit_store, open_store
from ..store.reader import Reader
from ._live_ids import LiveTaskIds
from .tokens import marks
from .tokens.marks import Bucket

MAX_LIVE_IDS_AGE = 5.0
"""The maximum age of the live ids before a deletion, in seconds; then they are read again."""

_UNREADABLE_MESSAGE = "a message cannot be read: its task may still run; see huey-signals report"

READ = "read"
"""The name of the count of the rows that were read."""


class Coordinator(Protocol):
    """Renews the lease of the work, and waits for heartbeats; see `Sweeper`."""

    def check_may_continue(self) -> None:
        """Raise an exception if another process may be working, or this work is cancelled."""

    def wait_for_heartbeats(self) -> str:
        """Wait until every living process has written its record again.

        Return a message about the processes that have not; empty if all have.
        """


RowsT = TypeVar("RowsT")
ReadT = TypeVar("ReadT")
BatchT = TypeVar("BatchT")


class _Slice(Protocol):
    """Rows that are classified in one step, sorted by the first byte of their marks."""

    started: float
    size: int

    @property
    def numbers(self) -> list[int]: ...
    def sort(self) -> None: ...
    def bucket(self, number: int) -> Any: ...


class _Deletions(Protocol):
    """The due rows of a slice, by the first byte of their marks."""

    size: int

    @property
    def numbers(self) -> list[int]: ...
    def add(self, number: int, due: set[bytes], rows: Any) -> None: ...


SliceT = TypeVar("SliceT", bound=_Slice)


class Classified(NamedTuple):
    """The marks of the live rows and of the unused rows of one bucket."""

    live: set[bytes]
    unused: set[bytes]
    undecided: int
    """The number of rows that are neither."""


class MarkAndDelete(ABC, Generic[ReadT, SliceT, RowsT, BatchT]):
    """One run over the store of a Huey: it marks unused rows, and deletes those marked before.

    Args:
        huey: The Huey.
        ledger: The ledger of its queue.
        coordinator: Called before each step, and to wait for heartbeats.
        min_age: Seconds between the two runs that find a row unused.
        dry_run: Delete nothing and mark nothing.
        clock: Returns seconds since the epoch.
        on_progress: Called repeatedly with the report so far.
    """

    prefix = marks.PREFIX
    """The beginning of the keys of the marks."""
    max_marks: int | None = None
    """The maximum number of marks in one bucket."""

    def __init__(
        self,
        huey: Any,
        ledger: Ledger,
        coordinator: Coordinator,
        *,
        min_age: float,
        dry_run: bool,
        clock: Callable[[], float],
        on_progress: Callable[[Any], object],
    ) -> None:
        self._reader = Reader(huey)
        self._queue = str(huey.name)
        self._store = open_store(huey)
        self._kit_store = open_kit_store(huey, UPKEEP)
        self._live_ids = LiveTaskIds(self._store, ledger, self._reader.ids)
        self._coordinator = coordinator
        self._min_age = min_age
        self._dry_run = dry_run
        self._clock = clock
        self._on_progress = on_progress
        self._pass_id = random.random()
        """A number that tells the marks of this run from the marks of earlier runs."""
        self._started = time.monotonic()
        self._counts: Counter[str] = Counter()
        self._silent = ""
        """A message about processes that wrote no heartbeat; then nothing more is deleted."""
        self._stopped = ""

    @abstractmethod
    def report(self) -> Any:
        """Return the report so far."""

    @abstractmethod
    def run(self) -> Any:
        """Do the work; return the report."""

    @abstractmethod
    def _read(self) -> Iterator[ReadT]:
        """Read the store in batches."""

    @abstractmethod
    def _new_slice(self, started: float) -> SliceT: ...

    @abstractmethod
    def _add(self, batch: ReadT, current: SliceT) -> bool:
        """Count a batch under `READ`, and add it; return whether the slice is full."""

    @abstractmethod
    def _classify_rows(self, current: SliceT, rows: RowsT) -> Classified:
        """Compare the rows of one bucket with the live ids."""

    @abstractmethod
    def _new_deletions(self) -> _Deletions: ...

    @abstractmethod
    def _batches(self, deletions: Any, number: int) -> Iterator[BatchT]:
        """Yield the due rows of a bucket in batches that are deleted without another check."""

    @abstractmethod
    def _marks_of(self, batch: BatchT) -> set[bytes]: ...

    @abstractmethod
    def _delete_batch(self, current: SliceT, batch: BatchT) -> tuple[int, int]:
        """Delete the rows that are unchanged and whose ids are not in `LiveTaskIds.newly_seen`.

        Only ids that were first seen since the decision have to be excluded, because all others
        were compared then. Return the number of live rows and of deleted rows.
        """

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _run(self) -> None:
        self._started = time.monotonic()
        try:
            self._read_all()
        except UnreadableLedger as exc:
            self._stopped = str(exc)
        except Exception as exc:
            self._stopped = repr(exc)
            raise

    def _read_all(self) -> None:
        current = self._new_slice(self._clock())
        for batch in self._read():
            is_full = self._add(batch, current)
            self._on_progress(self.report())
            self._check_may_continue()
            if is_full:
                self._process(current)
                current = self._new_slice(self._clock())
        self._process(current)
        if not self._dry_run:
            marks.drop_unseen(self._kit_store, self._pass_id, self.prefix)

    def _check_may_continue(self) -> None:
        if not self._dry_run:
            self._coordinator.check_may_continue()

    def _process(self, current: SliceT) -> None:
        """Decide about one slice, write its marks, and delete what is due."""
        if not current.size:
            return
        current.sort()
        self._live_ids.refresh()
        self._live_ids.newly_seen.clear()
        now, is_complete = self._clock(), self._live_ids.is_complete
        cutoff = current.started - self._min_age
        classifier = Classifier(cutoff, now, self._pass_id, is_complete, self.max_marks)
        deletions = self._new_deletions()
        for number, bucket in marks.buckets(self._kit_store, current.numbers, self.prefix):
            self._check_may_continue()
            rows = current.bucket(number)
            due = classifier.classify(bucket, self._classify_rows(current, rows))
            deletions.add(number, due, rows)
            if not self._dry_run:
                bucket.save(self._kit_store)
        self._counts.update(classifier.counts)
        # What was read twice counts once.
        self._counts[READ] += sum(classifier.counts.values()) + deletions.size - current.size
        if not is_complete:
            self._stopped = _UNREADABLE_MESSAGE
        self._delete(current, deletions)

    def _delete(self, current: SliceT, deletions: _Deletions) -> None:
        if not deletions.size or self._dry_run:
            self._counts["deleted"] += deletions.size
            return
        # Undecided until they are deleted, so that the report is right if the storage fails.
        self._counts["undecided"] += deletions.size
        self._silent = self._silent or self._coordinator.wait_for_heartbeats()
        if self._silent:
            self._stopped = self._silent
            return
        self._live_ids.refresh(1)  # it continues where the last refresh has ended
        for number, bucket in marks.buckets(self._kit_store, deletions.numbers, self.prefix):
            for batch in self._batches(deletions, number):
                if not self._may_delete():
                    self._stopped = _UNREADABLE_MESSAGE
                    return
                # The mark first: if it stayed, it would count for what is stored next.
                bucket.remove(self._marks_of(batch))
                bucket.save(self._kit_store)
                live, deleted = self._delete_batch(current, batch)
                self._counts.update(live=live, deleted=deleted, undecided=-live - deleted)
                self._on_progress(self.report())

    def _may_delete(self) -> bool:
        """Read the places again, if that is due; return whether all messages could be read."""
        self._check_may_continue()
        if self._live_ids.age() > MAX_LIVE_IDS_AGE + self._live_ids.refresh_seconds:
            self._live_ids.refresh(1)
        return self._live_ids.is_complete


@dataclass
class Classifier:
    """The decision about the rows of one slice, and the update of their marks.

    A live row loses its mark. An unused row without a mark gets one. An unused row whose mark is
    old enough is due.
    """

    cutoff: float
    """A row is due if its mark is not younger than this; seconds since the epoch."""
    now: float
    """The time of new marks; seconds since the epoch."""
    pass_id: float
    is_complete: bool
    """Whether all messages could be read; otherwise nothing is due."""
    max_marks: int | None = None
    """The maximum number of marks in one bucket."""
    counts: Counter[str] = field(default_factory=Counter)
    """The number of live, new, waiting, unmarked and undecided rows."""

    def classify(self, bucket: Bucket, rows: Classified) -> set[bytes]:
        """Return the marks of the due rows; they stay until the rows are deleted.

        Args:
            bucket: The marks of one bucket, which are updated.
            rows: The rows of this bucket.
        """
        live, unused, undecided = rows
        due = self._update_marks(bucket, live, unused)
        self.counts.update(live=len(live), undecided=undecided)
        if self.is_complete:
            self._mark(bucket, unused)
        else:
            self.counts["undecided"] += len(unused)
        return due

    def _mark(self, bucket: Bucket, unused: set[bytes]) -> None:
        if self.max_marks is not None:
            room = max(0, self.max_marks - bucket.count)
            if len(unused) > room:
                self.counts["unmarked"] += len(unused) - room
                unused = set(islice(unused, room))
        bucket.add((self.now, self.pass_id), unused)
        self.counts["new"] += len(unused)

    def _update_marks(self, bucket: Bucket, live: set[bytes], unused: set[bytes]) -> set[bytes]:
        """Return the marks of the due rows, and leave in `unused` those without a mark."""
        due: set[bytes] = set()
        groups, bucket.groups = bucket.groups, {}
        for (first, seen), ids in groups.items():
            ids -= live
            if first > self.now:  # a clock was put back
                first = self.now
            marked = ids & unused
            unused -= marked
            is_counted = seen == self.pass_id  # in an earlier slice of this pass
            bucket.add((first, self.pass_id), marked)
            if first <= self.cutoff and self.is_complete:
                due |= marked
            else:
                self.counts["waiting"] += 0 if is_counted else len(marked)
            bucket.add((first, seen), ids - marked)
        return due
