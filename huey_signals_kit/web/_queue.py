"""What is known of one queue, read in the background so that no request waits for the storage.

A request gets the last state and its age. If that is older than `_FRESH_SECONDS`, it requests the
next read. It waits for that read only if the last one is older than `_OLD_SECONDS`, and for a
moment, which is enough for a small store. The whole store is read by the `Poller` for a tenth of
the time at most; how old that is, is part of the state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest
from typing import Any, TypeVar

from .. import Kit, get_kit
from ..ledger import History, Ledger, Snapshot, open_ledger, read_history
from ..store import UPKEEP, open_kit_store
from ..store.failures import is_storage_failure
from ..upkeep import LockInfo, LockInspector, Report
from ..upkeep.monitor.background_read import BackgroundRead, ReadTimeout
from ..upkeep.monitor.model import QueueSnapshot, SeenLock
from ..upkeep.monitor.poller import Poller
from ._background_act import BackgroundActs
from ._lookups import Lookups
from ._switches import ListedToken, Pause, TaskState, find_task_state, list_tokens, read_pause
from .arguments import FormatArguments

T = TypeVar("T")

_FRESH_SECONDS, _OLD_SECONDS = 2.0, 5.0
_WAIT_SECONDS, _FIRST_WAIT_SECONDS = 0.15, 1.5
_ACT_WAIT_SECONDS = 20.0
"""Seconds that an action waits for the search that must come before it."""

_LOG_SECONDS = 60.0
MAX_ROWS = 200
"""Rows of a table at most."""

ORDER = {False: 0, None: 1, True: 2}
"""The order of locks by whether their holder is alive."""


@dataclass(frozen=True)
class QueueState:
    """What was read of a queue at one moment."""

    snapshot: QueueSnapshot
    ledger: Snapshot
    report: Report | None
    """The state of the whole store, which is older; None before the first was read."""
    history: History
    at: float
    """When it was read, by a monotonic clock."""
    first_locks: Sequence[SeenLock] = ()
    """The first `MAX_ROWS` locks: those of dead holders, then unknown ones, then those that refuse
    most. A queue can have a hundred thousand, so no request sorts them."""
    dead_locks: int = 0
    """How many of all locks have a dead holder."""
    age: float = 0.0
    """Seconds since then."""
    error: Exception | None = None
    """What the storage has raised since then; None if it could be read."""


class Queue:
    """One Huey and the reads of it.

    Args:
        huey: The Huey, with a kit or without.
        clock: A monotonic clock, in seconds.
        name: Its name on the page; None for the name of the Huey.
        formatter: Formats the arguments of tasks; None to hide them.
    """

    def __init__(
        self,
        huey: Any,
        clock: Callable[[], float] = time.monotonic,
        name: str | None = None,
        formatter: FormatArguments | None = None,
    ) -> None:
        self.huey = huey
        self.name = str(huey.name) if name is None else name
        self._clock = clock
        self._formatter = formatter
        self._poller = Poller(huey)
        self._ledger = open_ledger(huey)
        # By the ledger of all reads, which has followed the heartbeats of other hosts for a time.
        self.inspector = LockInspector(huey, self._ledger)
        self._reads: BackgroundRead[QueueState] = BackgroundRead(self._read, "state of the queue")
        self._last: QueueState | None = None
        self._changed_at = self._failure_logged_at = float("-inf")
        # A thread each, so that what is one key does not wait for a long search.
        self._tasks, self._token_list = Lookups(), Lookups()
        self._switches, self._locks, self._records = Lookups(), Lookups(), Lookups()
        self.background_acts = BackgroundActs()
        self._lookup_ledger: Ledger | None = None

    def state(self) -> QueueState:
        """Return the last state, after starting the next read if one is due.

        Raises:
            ReadTimeout: The storage has not answered yet.
            Exception: The storage raised it, and no state is known.
        """
        last, error = self._last, None
        is_outdated = last is None or last.at < self._changed_at
        if is_outdated or self._reads.seconds_since_start() >= _FRESH_SECONDS:
            self._reads.request()
        if last is None:
            self._reads.wait(_FIRST_WAIT_SECONDS)
        elif is_outdated or self._clock() - last.at >= _OLD_SECONDS:
            self._reads.wait(_WAIT_SECONDS)
        try:
            last = self._last = self._reads.result()
        except ReadTimeout:
            if last is None:
                raise
        except Exception as exc:
            if last is None or not is_storage_failure(self.huey, exc):
                raise
            error = exc
        age = max(0.0, self._clock() - last.at)
        return replace(last, snapshot=_aged(last.snapshot, age), age=age, error=error)

    def should_log_failure(self) -> bool:
        """Return whether a failure of the storage should be logged now: once a minute."""
        now = self._clock()
        is_due = now - self._failure_logged_at >= _LOG_SECONDS
        if is_due:
            self._failure_logged_at = now
        return is_due

    def refresh(self) -> None:
        """Have the next request read again, because something was changed."""
        self._changed_at = self._clock()
        for lookups in (
            self._tasks,
            self._token_list,
            self._switches,
            self._locks,
            self._records,
        ):
            lookups.clear()

    def find_task(self, task_id: str) -> tuple[TaskState, float]:
        """Return where a task is, and the age of this answer in seconds; see `Lookups.get`."""
        return self._tasks.get(task_id, lambda: self._find_task(task_id))

    def find_task_now(self, task_id: str) -> TaskState:
        """Return where a task is, by a search that starts now; wait for it.

        Raises:
            ReadTimeout: The search takes too long.
            Exception: The search raised it.
        """
        self._tasks.clear(task_id)
        state: TaskState
        state, _ = self._tasks.get(task_id, lambda: self._find_task(task_id), _ACT_WAIT_SECONDS)
        return state

    def find_pause(self, name: str) -> tuple[Pause | None, float]:
        """Return the pause switch of a task by its name, and the age of this answer."""
        return self._switches.get(name, lambda: read_pause(self.huey, name))

    def read_record(self, task_id: str, read: Callable[[], T]) -> T:
        """Return what `read` returns about the record of one of Django's own tasks.

        Args:
            task_id: The id of the task.
            read: Reads the storage, in the background.

        Raises:
            ReadTimeout: The storage has not answered yet.
            Exception: It was raised by `read`.
        """
        answer: T
        answer, _ = self._records.get(task_id, read)
        return answer

    def find_lock(self, name: str) -> LockInfo | None:
        """Return the lock with a name, if it is held."""
        found, _ = self._locks.get(name, lambda: self.inspector.named([name]))
        return found[0] if found else None

    def tokens(self) -> tuple[list[ListedToken], float]:
        """Return the first tokens of the queue, and the age of this answer."""
        return self._token_list.get("tokens", lambda: list_tokens(self.huey))

    @property
    def kit(self) -> Kit | None:
        """The kit of the Huey in this process."""
        return get_kit(self.huey)

    def _find_task(self, task_id: str) -> TaskState:
        # The ledger of this thread: it learns from one search to the next which processes live.
        if self._lookup_ledger is None:
            self._lookup_ledger = open_ledger(self.huey)
        last = self._last
        is_known = last is not None and last.snapshot.locks_age is not None
        locks = [seen.lock for seen in last.snapshot.locks] if last and is_known else None
        return find_task_state(self.huey, task_id, self._lookup_ledger, locks, self._formatter)

    def _read(self) -> QueueState:
        at = self._clock()
        snapshot = self._poller.poll(wait=0.1)
        store = open_kit_store(self.huey, UPKEEP)
        return QueueState(
            snapshot,
            self._ledger.snapshot(),
            self._poller.last_report,
            read_history(store, time.time()),
            at,
            nsmallest(MAX_ROWS, snapshot.locks, key=_order_of),
            sum(seen.lock.alive is False for seen in snapshot.locks),
        )


def _aged(snapshot: QueueSnapshot, seconds: float) -> QueueSnapshot:
    """Return the snapshot with the ages that its parts have some seconds later."""
    store_age, locks_age = snapshot.store_age, snapshot.locks_age
    return replace(
        snapshot,
        store_age=None if store_age is None else store_age + seconds,
        locks_age=None if locks_age is None else locks_age + seconds,
    )


def _order_of(seen: SeenLock) -> tuple[int, int, str]:
    return ORDER[seen.lock.alive], -seen.lock.skips, seen.lock.name
