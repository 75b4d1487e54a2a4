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
  - The tasks of a process that cannot be checked from this one, such as a process on another host,
    no longer count after ten minutes without a heartbeat. While such a process is silent for less
    than that, nothing is deleted.
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

from collections.abc import Iterator

from ...store.tokens import Tokens, delete_tokens, read_tokens
from .._ids import SIZE, iter_ids
from .._mark_and_delete import READ, Classified, MarkAndDelete
from .info import SweepReport, SweepStopped
from .slices import BucketIds, PendingDeletions, Slice

SLICE_SIZE = 550_000
"""Tokens that are read before the places are read; each takes 20 bytes of memory."""

DELETE_BATCH = 4000
"""Tokens that are deleted without checking again whether they are live."""

_Batch = tuple[int, bytes]
"""The index of a value, and joined ids of tokens that have it."""


class TokenSweep(MarkAndDelete[Tokens, Slice, BucketIds, _Batch]):
    """One sweep over the tokens of a Huey."""

    def report(self) -> SweepReport:
        """Return the report so far."""
        counts = self._counts
        return SweepReport(
            scanned=counts[READ],
            live=counts["live"],
            custom=counts["custom"],
            marked=counts["new"] + counts["waiting"],
            deleted=counts["deleted"],
            undecided=counts["undecided"],
            seconds=self._seconds(),
            unreadable=len(self._live_ids.unreadable),
            stopped=self._stopped,
            dry_run=self._dry_run,
        )

    def run(self) -> SweepReport:
        """Read all tokens, slice by slice, and delete the due ones of each slice.

        Raises:
            SweepStopped: The sweep failed halfway, as when the storage became unreachable.
        """
        try:
            self._run()
        except Exception as exc:
            raise SweepStopped(self._queue, self.report(), exc) from exc
        return self.report()

    def _read(self) -> Iterator[Tokens]:
        return read_tokens(self._store)

    def _new_slice(self, started: float) -> Slice:
        return Slice(started)

    def _add(self, batch: Tokens, current: Slice) -> bool:
        self._counts.update({READ: batch.total, "custom": len(batch.others)})
        for value, ids in batch.generated.items():
            current.add(value, ids)
        return current.is_full(SLICE_SIZE)

    def _classify_rows(self, current: Slice, rows: BucketIds) -> Classified:
        if len(current.is_token) != len(current.values):  # once for each slice
            current.is_token = [self._reader.is_token(value) for value in current.values]
        tokens, undecided = rows.split(current.is_token)
        live = tokens & self._live_ids.live
        return Classified(live, tokens - live, undecided)

    def _new_deletions(self) -> PendingDeletions:
        return PendingDeletions()

    def _batches(self, deletions: PendingDeletions, number: int) -> Iterator[_Batch]:
        return deletions.batches(number, DELETE_BATCH)

    def _marks_of(self, batch: _Batch) -> set[bytes]:
        _, ids = batch
        return set(iter_ids(ids))

    def _delete_batch(self, current: Slice, batch: _Batch) -> tuple[int, int]:
        index, ids = batch
        newly_seen, unused = self._live_ids.newly_seen, ids
        if newly_seen and not newly_seen.isdisjoint(iter_ids(ids)):
            unused = b"".join(packed for packed in iter_ids(ids) if packed not in newly_seen)
        live = (len(ids) - len(unused)) // SIZE
        return live, delete_tokens(self._store, current.values[index], unused)
