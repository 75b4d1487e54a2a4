"""Deletes revoke tokens that can never stop a run again.

A token ``r:<id>`` is *live* while the task with that id can still come up to be run. Missing an
orphan costs bytes; deleting a live one runs a task that somebody had stopped. So this is the
list of all places where an id can be, and of all ways between them:

Places
  1. the queue
  2. the schedule
  3. a worker's hands: every task that a consumer's heartbeat names as running
  4. a scheduler's hands: every task that its heartbeat names as taken and not enqueued yet
  5. nested in any of these, at any depth: a later stage of a pipeline, an ``on_error`` task,
     the callback of a chord, and whatever is nested in that again; or an id in its arguments,
     of which it may make a task
  6. an application that has made (and revoked) a task and not enqueued it yet
  7. the hands of a consumer that writes no heartbeat: without the kit, or of another version

Ways
  a. an application enqueues or schedules it (6 to 1; later 1 to 3)
  b. a worker takes it, and puts it in the schedule if its time has not come (1 to 3 to 2)
  c. the scheduler enqueues what is due (2 to 4 to 1)
  d. a worker takes it and runs it (1 to 3)
  e. it is to be retried, at once or later (3 to 1, 3 to 2)
  f. it could not get its lock, and `RescheduleLocked` schedules it again (3 to 2)
  g. it is done, and the next stage of its pipeline is enqueued (nested in 3 to 1)
  h. it failed, and its ``on_error`` task is enqueued, as often as it fails (nested in 3 to 1)
  i. the last member of a chord is done, and the callback is enqueued (nested in 3 to 1);
     until then it is nested in every member that is left
  j. it was interrupted, and a receiver of that signal enqueues it again (3 to 1)
  k. ``Result.reschedule()`` enqueues it under another id, with what is nested in it (6 to 1)
  l. an application enqueues a task again that it has kept (6 to 1)

What this rests on
  - Tokens are read first, and then the places that would keep them alive: a token that was there
    before its task had left every place is judged by places that were read after it.
  - Places are read in the direction of these ways, twice round: schedule, queue, running. What
    leaves a place before it is read is found in the next (b - j).
  - A worker has a message in hand from when it takes it, before it is read, until it asks for
    the next, or for as long as the task exists that was made of it: all that time the heartbeat
    names what the message leads to (b, d - j). Where a process cannot tell that, it says so, and
    nothing is deleted meanwhile. (What a storage, or a ``dequeue``, of somebody's own keeps to
    itself before it makes a task of it, is in nobody's hands: then ``min_age`` has to be longer.)
  - A heartbeat comes every five seconds. Before anything is deleted every process that is not
    known to be gone has written one more, and all places are read again (3, 4; c, d).
  - A process that cannot be seen from here is gone when it has not been heard of for ten
    minutes. Until then nothing is deleted while it is silent; what it runs counts no more then.
  - Nothing is deleted that has not been found so by two sweeps, ``min_age`` apart: this is all
    that holds for 6 and 7, where nobody can look. With consumers that write no heartbeat,
    ``min_age`` has to be longer than their longest task.
  - The moment of the first of these is by the clock of the host that swept: hosts whose clocks
    differ by more than ``min_age`` have to be put right first.
  - One look that finds it alive begins all that anew, and so does one that finds no token.
  - An id that Huey has not made can be enqueued again any time: never deleted, nor are pause
    switches (``rt:``). Nor is anything, while a message cannot be read.
  - A token that does not read as one, or has changed since it was read, stays.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ...store import KitStore
from ...store.protocol import Store
from ...store.tokens import Tokens, delete_tokens, read_tokens
from .._ids import SIZE, each_of
from .._live_ids import LiveTaskIds
from . import marks
from .marks import Bucket
from .report import SweepReport
from .slices import BucketIds, PendingDeletions, Slice

SLICE = 550_000
"""Tokens read before the places are: 20 bytes each."""

DELETED_AT_ONCE = 4000
FRESH_SECONDS = 5.0
"""How old what was seen in the places may be when something is deleted."""


class TokenSweep:
    """One sweep over *store*, with its marks in *own*; *clock* gives seconds since the epoch.

    *is_token* returns whether a raw value is one that Huey writes for a revoked task. *settle*
    waits until all living processes have written their running tasks, and returns a message about
    those that have not. *keep* is called before each step, and raises if this sweep must stop.
    """

    def __init__(
        self,
        store: Store,
        own: KitStore,
        places: LiveTaskIds,
        is_token: Callable[[bytes], bool],
        settle: Callable[[], str],
        *,
        keep: Callable[[], object],
        min_age: float,
        dry_run: bool,
        clock: Callable[[], float],
        progress: Callable[[SweepReport], object],
    ) -> None:
        self._store = store
        self._own = own
        self._live_ids = places
        self._is_token = is_token
        self._settle = settle
        self._keep = keep
        self._min_age = min_age
        self._dry_run = dry_run
        self._clock = clock
        self._progress = progress
        self._sweep = random.random()  # tells this sweep from any other
        self._started = time.monotonic()
        self._found: Counter[str] = Counter()
        self._unanswered = ""
        self.stopped = ""
        """Why nothing is deleted."""

    def report(self) -> SweepReport:
        """What was done until now."""
        return SweepReport(
            **self._found,
            seconds=time.monotonic() - self._started,
            unreadable=len(self._live_ids.unreadable),
            stopped=self.stopped,
            dry_run=self._dry_run,
        )

    def run(self) -> None:
        """Read all tokens, slice by slice, and judge each slice."""
        some = Slice(self._clock())
        for tokens in read_tokens(self._store):
            self._take(tokens, some)
            self._progress(self.report())
            self._keep()
            if some.is_full(SLICE):
                self._judge(some)
                some = Slice(self._clock())
        self._judge(some)
        if not self._dry_run:
            marks.drop_unseen(self._own, self._sweep)

    def _take(self, tokens: Tokens, some: Slice) -> None:
        self._found.update(scanned=tokens.total, custom=len(tokens.others))
        for value, ids in tokens.generated.items():
            some.add(value, ids)

    def _judge(self, some: Slice) -> None:
        if not some.size:
            return
        some.sort()
        self._live_ids.refresh()
        self._live_ids.newly_seen.clear()
        looked = self._clock()
        judged = Classifier(
            some.began - self._min_age, looked, self._sweep, self._live_ids.complete
        )
        readable = [self._is_token(value) for value in some.values]
        condemned = PendingDeletions()
        for number, bucket in marks.buckets(self._own, some.numbers):
            self._keep()
            bunch = some.bucket(number)
            due = judged.sort(bucket, bunch, readable, self._live_ids.alive)
            condemned.add(number, due, bunch)
            if not self._dry_run:
                bucket.save(self._own)
        self._found.update(judged.found)
        self._found["scanned"] += sum(judged.found.values()) + condemned.size - some.size
        if not self._live_ids.complete:
            self.stopped = "a message cannot be read"
        self._delete(condemned, some.values)

    def _delete(self, condemned: PendingDeletions, values: list[bytes]) -> None:
        if not condemned.size or self._dry_run:
            self._found["deleted"] += condemned.size
            return
        left = condemned.size
        self._found["undecided"] += left
        self._unanswered = self._unanswered or self._settle()
        if self._unanswered:
            self.stopped = self._unanswered
            return
        self._live_ids.refresh(1)  # on from where the look before has ended
        for number, bucket in marks.buckets(self._own, condemned.numbers):
            for place, ids in condemned.batches(number, DELETED_AT_ONCE):
                dead = self._still_dead(ids)
                if dead is None:
                    self.stopped = "a message cannot be read"
                    return
                # First the mark: if it outlived its token, it would count for the next token.
                bucket.remove(set(each_of(ids)))
                bucket.save(self._own)
                gone = delete_tokens(self._store, values[place], dead)
                self._found.update(deleted=gone, undecided=-gone)
                self._progress(self.report())

    def _still_dead(self, ids: bytes) -> bytes | None:
        """Return the packed `ids` that are still orphans; None if that is uncertain."""
        self._keep()
        if self._live_ids.age() > FRESH_SECONDS + self._live_ids.took:
            self._live_ids.refresh(1)
        if not self._live_ids.complete:
            return None
        newly_seen, dead = (
            self._live_ids.newly_seen,
            ids,
        )  # ids that are not new were orphans at the last look
        if newly_seen and not newly_seen.isdisjoint(each_of(ids)):
            dead = b"".join(each for each in each_of(ids) if each not in newly_seen)
        live = (len(ids) - len(dead)) // SIZE
        self._found.update(live=live, undecided=-live)
        return dead


@dataclass
class Classifier:
    """Sorts the tokens of one slice: what is seen alive loses its mark, what is new gets one."""

    cutoff: float
    """A first look until then is long enough ago."""
    looked: float
    sweep: float
    complete: bool
    found: Counter[str] = field(default_factory=Counter)

    def sort(
        self, bucket: Bucket, bunch: BucketIds, readable: list[bool], alive: set[bytes]
    ) -> set[bytes]:
        """Return the tokens of *bunch* to delete; they keep their marks until the deletion."""
        orphans, undecided = bunch.split(readable)
        live = orphans & alive
        orphans -= live
        due = self._take_marked(bucket, live, orphans)
        self.found.update(live=len(live), undecided=undecided)
        if self.complete:
            bucket.add((self.looked, self.sweep), orphans)
            self.found["marked"] += len(orphans)
        else:
            self.found["undecided"] += len(orphans)
        return due

    def _take_marked(self, bucket: Bucket, live: set[bytes], orphans: set[bytes]) -> set[bytes]:
        due: set[bytes] = set()
        groups, bucket.groups = bucket.groups, {}
        for (first, seen), ids in groups.items():
            ids -= live
            if first > self.looked:  # a clock was put back
                first = self.looked
            here = ids & orphans
            orphans -= here
            again = seen == self.sweep  # read twice, by two slices
            bucket.add((first, self.sweep), here)
            if first <= self.cutoff and self.complete:
                due |= here
            else:
                self.found["marked"] += 0 if again else len(here)
            bucket.add((first, seen), ids - here)
        return due
