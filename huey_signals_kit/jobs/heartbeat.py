"""Write the record of this process to the ledger of its queue every five seconds.

The record says that the process is alive, which tasks it runs, which locks it holds, which periodic
tasks it enqueues and what it has counted. Which processes write one:

- A process that runs workers, or Huey's scheduler: from its start, or from the moment when the kit
  is installed, whatever it does.
- Any other process, such as a web application: while it holds a lock; otherwise after it has
  counted something or has a task in flight, and then only when that changes.
- No process whose storage is in memory, because no other process can read it. This includes
  immediate mode, unless the process holds a lock that other processes can see. Counts from
  immediate mode are never written, not even after the mode is switched off.

A few processes with workers, each on a different host, also observe the records of the other
processes.

Once a minute the new counts are added to the history of the queue (`ledger`), which is not part of
the record.

When the process ends, or the kit is uninstalled, the last record is marked as the last, and its
counters are added to the totals. While the process still holds locks, the heartbeat continues,
because the record is the only evidence for other hosts that these locks have a living holder.
"""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4
from weakref import ref

from ..dispatch.reporter import Reporter
from ..huey_internals.facts import periodic_tasks
from ..inflight.claims import in_flight_of
from ..inflight.tasks import RunningTasks, has_worker, pending_ids
from ..ledger import (
    HEARTBEAT_SECONDS,
    MAX_PERIODIC,
    MAX_SKIPS,
    STALE_AFTER,
    Heartbeat,
    HistoryWriter,
    LockSkip,
    ObserverLease,
    open_ledger,
)
from ..locks.held import held_locks_of
from ..locks.patch import LockPatch
from ..metrics.counter import MetricCounter
from ..metrics.values import Totals, difference, merge
from ..runtime.fork import call_before_fork, reset_in_child
from ..runtime.process_id import INCARNATION, this_process
from ..runtime.scheduler import JobGroup, scheduler
from ..store import UPKEEP, UnsupportedStorage, close_connection, is_shared, open_kit_store
from .host_record import HostRecordWriter
from .native_heartbeat import NativeHeartbeat

_FIRST_SECONDS = 1.0
"""Seconds before the first record of a process."""

_STOP_SECONDS = 0.5
"""Seconds for which an ending process waits for its native thread."""

HISTORY_SECONDS = 60.0
"""Seconds between two additions to the history of counts."""

_FOLD_EVERY = 12
"""A process with workers folds dead processes after this number of records."""

_FOLD_LEASE_SECONDS = 3 * _FOLD_EVERY * HEARTBEAT_SECONDS


class HeartbeatWriter:
    """The writer of this process's record, for one kit.

    Its methods ``on_*`` are called by workers and by the code that acquires locks, so they never
    wait for the storage: they schedule a job, and the job writes.

    Args:
        huey: The Huey.
        counter: Everything that the kit has counted in this process.
        jobs: The jobs of the kit.
        locks: The locks that this process holds.
        reporter: Logs what prevented a record from naming the tasks in flight, and failures of the
            native thread.
        on_worker_detected: Called when a worker runs whose start hook was missed.
        stale_after: Seconds of silence after which others count this process as dead.
        releases_locks: Whether this process releases stale locks, and so has priority as an
            observer: only an observer knows which locks are stale.
    """

    def __init__(
        self,
        huey: Any,
        counter: MetricCounter,
        jobs: JobGroup,
        locks: LockPatch,
        reporter: Reporter,
        on_worker_detected: Callable[[], None],
        stale_after: float = STALE_AFTER,
        releases_locks: bool = False,
    ) -> None:
        self._huey = huey
        self._stale_after = stale_after
        self._totals = counter.totals
        self._revision = counter.revision
        self._jobs = jobs
        self._on_worker_detected = on_worker_detected
        self._locks = locks
        self._log_failure = reporter.job_failed
        self._is_scheduled = False
        self._is_uninstalled = False
        self._is_suspended = False
        self._is_closed = False
        self._is_unsupported = False
        self._native = NativeHeartbeat(huey)
        self._held_locks = held_locks_of(huey)
        self.ledger = open_ledger(huey, stale_after, self._ledger_storage)
        self.observer_lease = ObserverLease(self.ledger, stale_after, releases_locks)
        """The right to observe the records of the other processes; at most three hold one."""
        self.recent_skips: deque[tuple[str, str, float]] = deque(maxlen=MAX_SKIPS)
        """The last lock skips of this process: task id, lock, and seconds since the epoch."""
        self._fold_lease = self.ledger.lease("tidy", _FOLD_LEASE_SECONDS)
        self._host = HostRecordWriter(huey)
        self._history = HistoryWriter(lambda: open_kit_store(huey, UPKEEP))
        self._after_fork()
        reset_in_child(self)
        call_before_fork(self)

    def _before_fork(self) -> None:
        # As Huey's consumer does before it forks; the heartbeat may have connected again since.
        if self._sequence:
            with suppress(Exception):
                close_connection(self._huey.storage)

    def _after_fork(self) -> None:
        # A random id, because the number of an ended process may be given to another one.
        self._id = uuid4().hex
        self._worker = ""
        self._is_periodic = False
        self._started = time.time()
        self._sequence = 0
        self._written_revision = 0
        self.recent_skips.clear()
        self._last_written: tuple[Totals, dict[str, Any]] = {}, {}
        self._storage = ref(self._huey.storage)
        self._counted: Totals = {}
        self._unshared: Totals = {}
        self._in_history: Totals = {}
        self._history_due = 0.0
        self._running = RunningTasks(self._huey)

    def install(self) -> None:
        """Schedule the job, if this process has to write a record."""
        self._is_uninstalled = False
        self._schedule()
        if has_worker(self._huey):
            self._on_worker_detected()

    def uninstall(self) -> None:
        """Have the next call of `write` deregister the process, unless it holds locks."""
        self._is_uninstalled = True

    def suspend(self) -> None:
        """Write nothing until `resume`, if this process has not written a record yet.

        If it has, the heartbeat continues: a process that falls silent looks dead.
        """
        self._is_suspended = not self._sequence

    def resume(self) -> None:
        """Undo `suspend`."""
        self._is_suspended = False

    def close(self) -> None:
        """Continue with a job of its own while locks are held; the kit's jobs are cancelled."""
        self._is_closed = True
        self._host.stop()
        self._is_scheduled = False
        if self._locks.needs_heartbeat() and not self._is_unsupported:
            self.on_lock_acquired()

    def on_worker_start(self) -> None:
        """Note that a worker starts in this process, on the calling thread."""
        self._worker = _kind_of_worker()
        self._host.start(self._worker)
        in_flight_of(self._huey).has_worker = True
        self._update_native(is_needed=True)
        self._schedule()

    def on_worker_stop(self) -> None:
        """Note that the worker of the calling thread dequeues no more messages."""
        self._host.on_worker_stop()
        in_flight_of(self._huey).finish(threading.get_ident())

    def on_scheduler_detected(self) -> None:
        """Note that Huey's scheduler runs in this process."""
        if not self._worker:
            self._worker = "scheduler"
            self._host.start(self._worker)
            self._schedule()
            scheduler.start()

    def on_periodic_detected(self) -> None:
        """Note that the scheduler of this process enqueues periodic tasks."""
        self._is_periodic = True

    def on_lock_acquired(self) -> None:
        """Schedule the job, because a process that holds a lock must show that it is alive."""
        self._update_native(is_needed=True)
        self._schedule(is_shared(self._huey.storage) or self._held_locks.has_shared())
        scheduler.start()

    def _schedule(self, is_needed: bool = False) -> None:
        if not self._is_scheduled and (is_needed or has_shared_ledger(self._huey)):
            self._is_scheduled = True
            self._jobs.every(
                HEARTBEAT_SECONDS,
                self._on_tick,
                "heartbeat",
                first=_FIRST_SECONDS,
                own_thread=True,
                when=self._is_wanted,
            )

    def _is_wanted(self) -> bool:
        """Return whether an application has new counts, which would be lost if it were killed."""
        return (
            not self._worker
            and self._revision() != self._written_revision
            and has_shared_ledger(self._huey)
        )

    def _on_tick(self) -> None:
        # Huey takes another storage when it is switched to immediate mode.
        if has_shared_ledger(self._huey) or self._shows_locks():
            self.write()
        else:
            self._shared_counts()

    def _shows_locks(self) -> bool:
        """Return whether others can see locks of this process, or its last record has some."""
        return self._held_locks.has_shared() or "locks" in self._last_written[1]

    def _ledger_storage(self) -> Any:
        """Return the storage of the ledger: in immediate mode that of the held locks, if any."""
        storage = self._held_locks.storage
        is_immediate = not has_shared_ledger(self._huey)
        if storage is not None and is_immediate and self._shows_locks():
            return storage
        return self._huey.storage

    def write(self) -> None:
        """Write the record now, if it says anything new.

        Raises:
            UnsupportedStorage: The storage cannot hold a ledger. Raised by the first call only;
                later calls do nothing.
        """
        if self._is_unsupported or self._is_suspended:
            return
        revision = self._revision()
        try:
            self._write_record(self._shared_counts())
        except UnsupportedStorage:
            self._is_unsupported = True
            raise
        self._written_revision = revision

    def _shared_counts(self) -> Totals:
        """Return the totals without the counts from immediate mode.

        Huey makes another storage whenever the mode is switched. If the storage has changed since
        the last call, the counts since that call are attributed to immediate mode.
        """
        counted, storage = self._totals(), self._huey.storage
        if storage is not self._storage() or not has_shared_ledger(self._huey):
            merge(self._unshared, difference(counted, self._counted))
            self._storage = ref(storage)
        self._counted = counted
        return difference(counted, self._unshared) if self._unshared else counted

    def _write_record(self, counted: Totals) -> None:
        if not scheduler.ending:
            self._locks.check()
        if scheduler.ending or (self._is_uninstalled and not self._locks.needs_heartbeat()):
            self._deregister(counted)
            return
        if not self._is_uninstalled and not self._worker and has_worker(self._huey):
            self._on_worker_detected()
        state = self._state()
        self._update_native(bool(self._worker or "locks" in state))
        while self._native.errors:
            self._log_failure("heartbeat thread", RuntimeError(self._native.errors.popleft()))
        if self._worker or "locks" in state or (counted, state) != self._last_written:
            self._acquire_observer_lease()
            self.ledger.write(self._record(counted, state), self.observer_lease.held)
            self._locks.on_heartbeat_written()
            self._last_written = counted, state
            if self._worker and self._sequence % _FOLD_EVERY == 1:
                self._fold_dead_processes()
            elif self._sequence == 1:
                # The process that this application replaces, for example.
                self.ledger.fold_dead(keep_workers=True)
        if time.monotonic() >= self._history_due:
            self._add_to_history(counted)

    def _add_to_history(self, counted: Totals) -> None:
        if not has_shared_ledger(self._huey):  # only a lock from before immediate mode is shown
            return
        added = difference(counted, self._in_history)
        # Before the write, because its outcome may be unknown: no count is added twice.
        self._in_history, self._history_due = counted, time.monotonic() + HISTORY_SECONDS
        try:
            self._history.add(added)
        except Exception as exc:  # the heartbeat must go on
            self._log_failure("history", exc)

    def _update_native(self, is_needed: bool) -> None:
        if is_needed and is_shared(self._huey.storage) and not scheduler.ending:
            self._native.start(self._id)
        else:
            self._native.stop()

    def _acquire_observer_lease(self) -> None:
        if self._worker in ("", "scheduler"):
            self.observer_lease.held = False
            return
        with suppress(Exception):  # a failing storage is reported by the heartbeat
            self.observer_lease.acquire()

    def _deregister(self, counted: Totals) -> None:
        """Write the last record, whose counters are added to the totals, and release the leases."""
        self._native.stop(seconds=_STOP_SECONDS)
        if self._is_closed and not scheduler.ending:
            # Cancelled before the write, so that a storage that is gone is tried only once.
            self._jobs.cancel()
        try:
            if self._sequence or counted:
                self.ledger.deregister(self._record(counted, {}))
                self._add_to_history(counted)
            if self._fold_lease.held:
                self._fold_lease.release()
            self.observer_lease.release()
        finally:
            if self._is_closed and not scheduler.ending:
                self.close()  # a lock may have been acquired just now

    def _fold_dead_processes(self) -> None:
        # Every process once when it starts, for records of its predecessor; then one at a time.
        if self._fold_lease.acquire() or self._sequence == 1:
            self.ledger.fold_dead()

    def _record(self, counted: Totals, state: dict[str, Any]) -> Heartbeat:
        self._sequence += 1
        return Heartbeat(
            id=self._id,
            process=this_process(),
            worker=self._worker,
            started=self._started,
            sequence=self._sequence,
            stale_after=self._stale_after,
            incarnation=INCARNATION,
            periodic=self._periodic_tasks(),
            **state,
            skips=tuple(map(LockSkip._make, tuple(self.recent_skips))),
            counters=counted,
        )

    def _periodic_tasks(self) -> tuple[str, ...]:
        """Return the names of the periodic tasks that this process enqueues."""
        if not (self._is_periodic and self._worker):
            return ()
        return tuple(periodic_tasks(self._huey)[:MAX_PERIODIC])

    def _state(self) -> dict[str, Any]:
        """Return the fields of the record that change while the process works.

        If the tasks in flight cannot be determined, the record says that one is unread. So no
        token is deleted meanwhile, and other processes still see that this one is alive.
        """
        held = self._locks.held()
        try:
            # First: a due task that is not pending is in the queue already, or running.
            waiting, unread = pending_ids(self._huey)
            running, unknown = self._running()
        except Exception as exc:  # tasks can contain any object of the application
            self._log_failure("heartbeat", exc)
            return {"unread": 1, **({"locks": held} if held else {})}
        state = {
            "waiting": tuple(sorted(waiting)),
            "running": running,
            "unread": unread + unknown,
            "locks": held,
        }
        return {name: value for name, value in state.items() if value}


def has_shared_ledger(huey: Any) -> bool:
    """Return whether other processes can read what the kit writes for the queue of `huey`."""
    return not huey.immediate and is_shared(huey.storage)


def _kind_of_worker() -> str:
    if multiprocessing.parent_process() is not None:
        return "process"
    gevent: Any = sys.modules.get("gevent")
    if gevent is not None and isinstance(gevent.getcurrent(), gevent.Greenlet):
        return "greenlet"
    return "thread"
