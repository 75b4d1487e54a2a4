"""Delete revoke tokens that can never stop a run again.

A token ``r:<id>`` is live while the task with that id can still run. If a sweep misses an orphaned
token, a few bytes stay. If it deletes a live token, a task runs that a user has stopped. So this is
the list of all places where the id of a task can be, of all ways between these places, and of the
rules that make a sweep see every live token.

Places
  1. The queue.
  2. The schedule.
  3. A worker: every task that the heartbeat of a consumer names as running.
  4. Huey's scheduler: every task that its heartbeat names as read from the schedule and not
     enqueued yet.
  5. Nested at any depth in a task in places 1 to 4: a later stage of its pipeline, its ``on_error``
     task, the callback of its chord, or a task nested in one of these; or an id in its arguments,
     from which it may create a task.
  6. An application that has created (and revoked) a task, and has not enqueued it yet.
  7. A consumer that writes no heartbeat: without the kit, or with another version of it.

Ways
  a. An application enqueues or schedules a task (6 to 1; later 1 to 3).
  b. A worker dequeues a task whose time has not come, and adds it to the schedule (1 to 3 to 2).
  c. The scheduler enqueues the tasks that are due (2 to 4 to 1).
  d. A worker dequeues a task and runs it (1 to 3).
  e. A task is retried, immediately or later (3 to 1, 3 to 2).
  f. A task did not get its lock, and `RescheduleLocked` schedules it again (3 to 2).
  g. A task is complete, and the next stage of its pipeline is enqueued (nested in 3 to 1).
  h. A task failed, and its ``on_error`` task is enqueued, once per failed attempt (nested in 3 to
     1).
  i. The last member of a chord is complete, and the callback is enqueued (nested in 3 to 1). Until
     that time the callback is nested in every remaining member.
  j. A task was interrupted, and a receiver of that signal enqueues it again (3 to 1).
  k. ``Result.reschedule()`` enqueues a task under another id, with the tasks nested in it (6 to 1).
  l. An application enqueues a task object again that it has kept (6 to 1).

Rules
  - The tokens of a slice are read first, and the places afterwards. So a token that existed before
    its task left all places is compared with places that were read after the token.
  - The places are read in the direction of the ways, twice: schedule, queue, running. A task that
    leaves a place before it is read is found in the next place (b to j).
  - A message of a worker is in flight from the moment when it is dequeued, before it is decoded,
    until the worker dequeues the next one, and for as long as the task object made from it is
    referenced. All that time the heartbeat names the ids that the message leads to (b, d to j). If
    a process cannot determine these ids, its record says so, and nothing is deleted meanwhile. (A
    user's own storage, or own ``dequeue``, may keep a message before it makes a task from it. No
    heartbeat names such a message, so `min_age` has to be longer than it is kept.)
  - A heartbeat is written every five seconds. Before anything is deleted, every process that is not
    known to be dead has written one more, and all places are read again (places 3 and 4; c and d).
  - A process that cannot be checked from this one, such as a process on another host, counts as
    dead after ten minutes without a heartbeat. While it is silent for less than that, nothing is
    deleted; afterwards its tasks no longer count.
  - Nothing is deleted unless two sweeps, `min_age` apart, have found it orphaned. For places 6 and
    7, which no sweep can see, this is the only protection: with consumers that write no heartbeat,
    `min_age` has to be longer than their longest task.
  - The time of the first of these sweeps is measured by the clock of the host that swept. If the
    clocks of two hosts differ by more than `min_age`, they have to be set right first.
  - A sweep that finds the token live, or does not find the token, makes its count start again.
  - An id that Huey has not made can be enqueued again at any time, so its token is never deleted.
    Pause switches (``rt:``) are never deleted either. While a message cannot be read, nothing is.
  - A value that is not a token of Huey, or has changed since it was read, stays.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...ledger import Ledger, UnreadableLedger
from ...store import UPKEEP, open_kit_store, open_store
from ...store.reader import Reader
from ...store.tokens import Tokens, delete_tokens, read_tokens
from .._ids import SIZE, iter_ids
from .._live_ids import LiveTaskIds
from . import marks
from .info import SweepReport, SweepStopped
from .marks import Bucket
from .slices import BucketIds, PendingDeletions, Slice

SLICE_SIZE = 550_000
"""Tokens that are read before the places are read; each takes 20 bytes of memory."""

DELETE_BATCH = 4000
"""Tokens that are deleted without checking again whether they are live."""

MAX_LIVE_IDS_AGE = 5.0
"""Seconds since the places were read, after which they are read again before a deletion."""

_UNREADABLE_MESSAGE = "a message cannot be read"


class SweepCoordinator(Protocol):
    """The part of a sweep that knows the other processes of the queue; see `Sweeper`."""

    def check_may_continue(self) -> None:
        """Raise an exception if another process may be sweeping, or this sweep is cancelled."""

    def wait_for_heartbeats(self) -> str:
        """Wait until every living process has written its record again.

        Return a message about the processes that have not; empty if all have.
        """


class TokenSweep:
    """One sweep over the tokens of a Huey.

    Args:
        huey: The Huey.
        ledger: The ledger of its queue.
        coordinator: Called before each step, and to wait for heartbeats.
        min_age: Seconds between two sweeps that find a token orphaned.
        dry_run: Delete nothing and mark nothing.
        clock: Returns seconds since the epoch.
        on_progress: Called repeatedly with the report so far.
    """

    def __init__(
        self,
        huey: Any,
        ledger: Ledger,
        coordinator: SweepCoordinator,
        *,
        min_age: float,
        dry_run: bool,
        clock: Callable[[], float],
        on_progress: Callable[[SweepReport], object],
    ) -> None:
        reader = Reader(huey)
        self._queue = str(huey.name)
        self._store = open_store(huey)
        self._kit_store = open_kit_store(huey, UPKEEP)
        self._live_ids = LiveTaskIds(self._store, ledger, reader.ids)
        self._is_token = reader.is_token
        self._coordinator = coordinator
        self._min_age = min_age
        self._dry_run = dry_run
        self._clock = clock
        self._on_progress = on_progress
        self._sweep_id = random.random()
        """A number that tells the marks of this sweep from the marks of earlier ones."""
        self._started = 0.0
        self._counts: Counter[str] = Counter()
        self._silent = ""
        """A message about processes that wrote no heartbeat; then nothing more is deleted."""
        self._stopped = ""

    def report(self) -> SweepReport:
        """Return the report so far."""
        return SweepReport(
            **self._counts,
            seconds=time.monotonic() - self._started,
            unreadable=len(self._live_ids.unreadable),
            stopped=self._stopped,
            dry_run=self._dry_run,
        )

    def run(self) -> SweepReport:
        """Read all tokens, slice by slice, and delete the due ones of each slice.

        Raises:
            SweepStopped: The sweep failed halfway, as when the storage became unreachable.
        """
        self._started = time.monotonic()
        try:
            self._run()
        except UnreadableLedger as exc:
            self._stopped = str(exc)
        except Exception as exc:
            self._stopped = repr(exc)
            raise SweepStopped(self._queue, self.report(), exc) from exc
        return self.report()

    def _run(self) -> None:
        current = Slice(self._clock())
        for tokens in read_tokens(self._store):
            self._add(tokens, current)
            self._on_progress(self.report())
            self._check_may_continue()
            if current.is_full(SLICE_SIZE):
                self._process(current)
                current = Slice(self._clock())
        self._process(current)
        if not self._dry_run:
            marks.drop_unseen(self._kit_store, self._sweep_id)

    def _check_may_continue(self) -> None:
        if not self._dry_run:
            self._coordinator.check_may_continue()

    def _add(self, tokens: Tokens, current: Slice) -> None:
        self._counts.update(scanned=tokens.total, custom=len(tokens.others))
        for value, ids in tokens.generated.items():
            current.add(value, ids)

    def _process(self, current: Slice) -> None:
        """Classify the tokens of one slice, write their marks, and delete the due ones."""
        if not current.size:
            return
        current.sort()
        self._live_ids.refresh()
        self._live_ids.newly_seen.clear()
        now, is_complete = self._clock(), self._live_ids.is_complete
        classifier = Classifier(current.started - self._min_age, now, self._sweep_id, is_complete)
        is_token = [self._is_token(value) for value in current.values]
        pending = PendingDeletions()
        for number, bucket in marks.buckets(self._kit_store, current.numbers):
            self._check_may_continue()
            tokens = current.bucket(number)
            due = classifier.classify(bucket, tokens, is_token, self._live_ids.live)
            pending.add(number, due, tokens)
            if not self._dry_run:
                bucket.save(self._kit_store)
        self._counts.update(classifier.counts)
        # A token that was read twice counts once.
        self._counts["scanned"] += sum(classifier.counts.values()) + pending.size - current.size
        if not is_complete:
            self._stopped = _UNREADABLE_MESSAGE
        self._delete(pending, current.values)

    def _delete(self, pending: PendingDeletions, values: list[bytes]) -> None:
        if not pending.size or self._dry_run:
            self._counts["deleted"] += pending.size
            return
        # Undecided until they are deleted, so that the report is right if the storage fails.
        self._counts["undecided"] += pending.size
        self._silent = self._silent or self._coordinator.wait_for_heartbeats()
        if self._silent:
            self._stopped = self._silent
            return
        self._live_ids.refresh(1)  # it continues where the last pass has ended
        for number, bucket in marks.buckets(self._kit_store, pending.numbers):
            for index, ids in pending.batches(number, DELETE_BATCH):
                orphans = self._still_orphaned(ids)
                if orphans is None:
                    self._stopped = _UNREADABLE_MESSAGE
                    return
                # The mark first: if it outlived its token, it would count for the next token.
                bucket.remove(set(iter_ids(ids)))
                bucket.save(self._kit_store)
                deleted = delete_tokens(self._store, values[index], orphans)
                self._counts.update(deleted=deleted, undecided=-deleted)
                self._on_progress(self.report())

    def _still_orphaned(self, ids: bytes) -> bytes | None:
        """Return the packed ids that are still orphaned; None if that is uncertain.

        Only ids that were first seen since the classification have to be excluded, because all
        others were compared then.
        """
        self._check_may_continue()
        if self._live_ids.age() > MAX_LIVE_IDS_AGE + self._live_ids.refresh_seconds:
            self._live_ids.refresh(1)
        if not self._live_ids.is_complete:
            return None
        newly_seen, orphans = self._live_ids.newly_seen, ids
        if newly_seen and not newly_seen.isdisjoint(iter_ids(ids)):
            orphans = b"".join(packed for packed in iter_ids(ids) if packed not in newly_seen)
        live = (len(ids) - len(orphans)) // SIZE
        self._counts.update(live=live, undecided=-live)
        return orphans


@dataclass
class Classifier:
    """The decision about the tokens of one slice, and the update of their marks.

    A live token loses its mark. An orphaned token without a mark gets one. An orphaned token whose
    mark is old enough is due.
    """

    cutoff: float
    """A token is due if its mark is not younger than this; seconds since the epoch."""
    now: float
    """The time of new marks; seconds since the epoch."""
    sweep_id: float
    is_complete: bool
    """Whether all messages could be read; otherwise nothing is due."""
    counts: Counter[str] = field(default_factory=Counter)
    """The number of live, marked and undecided tokens."""

    def classify(
        self, bucket: Bucket, tokens: BucketIds, is_token: list[bool], live_ids: set[bytes]
    ) -> set[bytes]:
        """Return the ids of the due tokens; they keep their marks until they are deleted.

        Args:
            bucket: The marks of one bucket, which are updated.
            tokens: The tokens of this bucket.
            is_token: For each index of a value, whether the value is a token of Huey.
            live_ids: The packed ids of all tasks that can still run.
        """
        orphans, undecided = tokens.split(is_token)
        live = orphans & live_ids
        orphans -= live
        due = self._update_marks(bucket, live, orphans)
        self.counts.update(live=len(live), undecided=undecided)
        if self.is_complete:
            bucket.add((self.now, self.sweep_id), orphans)
            self.counts["marked"] += len(orphans)
        else:
            self.counts["undecided"] += len(orphans)
        return due

    def _update_marks(self, bucket: Bucket, live: set[bytes], orphans: set[bytes]) -> set[bytes]:
        """Return the ids of the due tokens, and leave in `orphans` those without a mark."""
        due: set[bytes] = set()
        groups, bucket.groups = bucket.groups, {}
        for (first, seen), ids in groups.items():
            ids -= live
            if first > self.now:  # a clock was put back
                first = self.now
            marked = ids & orphans
            orphans -= marked
            is_counted = seen == self.sweep_id  # in an earlier slice of this sweep
            bucket.add((first, self.sweep_id), marked)
            if first <= self.cutoff and self.is_complete:
                due |= marked
            else:
                self.counts["marked"] += 0 if is_counted else len(marked)
            bucket.add((first, seen), ids - marked)
        return due
