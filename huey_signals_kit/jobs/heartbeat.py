"""Writes what this process does and has counted to the ledger of its queue, on the tick.

Who writes:

- a process that runs workers, or the scheduler: from its start, every five seconds, whatever it
  does; also when the kit is installed later than that;
- any other process, as one of the application: as long as it holds a lock, and else once it has
  counted something or has a task in hand, and then only when that changes;
- no process on a storage in memory, which no other process can read, so none in immediate mode,
  unless it holds a lock that others can see. Counts from immediate mode are never written, not even
  after the mode is switched off.

A few processes with workers, each on another host, also watch the other processes.

When the process ends, or the kit is uninstalled, its counters go into the totals. But as long as
the process holds locks in its name, which nobody else says, the heartbeat goes on.
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
from ..inflight.claims import in_flight_of
from ..inflight.tasks import RunningTasks, has_worker, pending_ids
from ..ledger import (
    HEARTBEAT_SECONDS,
    MOST_SKIPS,
    STALE_AFTER,
    Heartbeat,
    LockSkip,
    ObserverLease,
    open_ledger,
)
from ..locks.held import held_locks_of
from ..locks.patch import LockPatch
from ..metrics.counter import MetricCounter
from ..metrics.values import Totals, added, merge
from ..runtime.fork import reset_in_child
from ..runtime.process_id import INCARNATION, this_process
from ..runtime.scheduler import JobGroup, scheduler
from ..store import UnsupportedStorage, is_shared
from .host_record import HostRecordWriter
from .native_heartbeat import NativeHeartbeat

_FIRST_SECONDS = 1.0
_STOP_SECONDS = 0.5
_TIDY_EVERY = 12
_TIDY_LEASE_SECONDS = 3 * _TIDY_EVERY * HEARTBEAT_SECONDS


class HeartbeatWriter:
    """Writer of this process's heartbeat, for one kit.

    Args:
        huey: The Huey.
        counter: Everything that the kit has counted in this process.
        jobs: The jobs of the kit.
        locks: The locks that this process holds.
        reporter: Logs what kept a heartbeat from naming the tasks in flight.
        on_worker_detected: Called when a worker runs whose start hook was missed.
        stale_after: Seconds of silence after which others count this process as dead.
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
    ) -> None:
        self._huey = huey
        self._stale_after = stale_after
        self._totals = counter.totals
        self._revision = counter.revision
        self._jobs = jobs
        self._on_worker_detected = on_worker_detected
        self._locks = locks
        self._failed = reporter.job_failed
        self._begun = False
        self._leaves = False
        self._closed = False
        self._unable = False
        self._native = NativeHeartbeat(huey)
        self._held_locks = held_locks_of(huey)
        self.ledger = open_ledger(huey, stale_after, self._ledger_storage)
        self._watch = ObserverLease(self.ledger.lease)
        self.skips: deque[tuple[str, str, float]] = deque(maxlen=MOST_SKIPS)
        self._tidy = self.ledger.lease("tidy", _TIDY_LEASE_SECONDS)
        self._host = HostRecordWriter(huey)
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        # Never by process id, which may be another process's tomorrow.
        self._id = uuid4().hex
        self._worker = ""
        self._started = time.time()
        self._sequence = 0
        self._written_revision = 0
        self.watches = False
        """Whether this process watches the other processes."""
        self.skips.clear()
        self._written: tuple[Totals, dict[str, Any]] = {}, {}
        self._storage = ref(self._huey.storage)
        self._counted: Totals = {}
        self._unshared: Totals = {}
        self._running = RunningTasks(self._huey)

    def install(self) -> None:
        """Be on the tick."""
        self._leaves = False
        self._begin()
        if has_worker(self._huey):
            self._on_worker_detected()

    def uninstall(self) -> None:
        """Have the next beat be the last, unless locks are held."""
        self._leaves = True

    def close(self) -> None:
        """The jobs of the kit that has gone were cancelled: go on while locks are held."""
        self._closed = True
        self._host.end()
        self._begun = False
        if self._locks.needs_heartbeat() and not self._unable:
            self.lock_taken()

    def on_worker_start(self) -> None:
        """This process runs a worker."""
        self._worker = _kind_of_worker()
        self._host.begin(self._worker)
        in_flight_of(self._huey).has_worker = True
        self._look_after_native(is_needed=True)
        self._begin()

    def on_worker_stop(self) -> None:
        """This thread takes no more messages."""
        self._host.on_worker_stop()
        in_flight_of(self._huey).finished(threading.get_ident())

    def on_scheduler_detected(self) -> None:
        """This process runs the scheduler."""
        if not self._worker:
            self._worker = "scheduler"
            self._host.begin(self._worker)
            self._begin()
            scheduler.start()

    def lock_taken(self) -> None:
        """This process takes a lock: others shall know that it lives."""
        self._look_after_native(is_needed=True)
        self._begin(is_shared(self._huey.storage) or self._held_locks.has_shared())
        scheduler.start()

    def _begin(self, is_needed: bool = False) -> None:
        if not self._begun and (is_needed or shares(self._huey)):
            self._begun = True
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
            not self._worker and self._revision() != self._written_revision and shares(self._huey)
        )

    def _on_tick(self) -> None:
        # Huey takes another storage when it is switched to immediate mode.
        if shares(self._huey) or self._shows_locks():
            self.write()
        else:
            self._shared_counts()

    def _shows_locks(self) -> bool:
        """Return whether others can see locks of this process, or its last record has some."""
        return self._held_locks.has_shared() or "locks" in self._written[1]

    def _ledger_storage(self) -> Any:
        storage = self._held_locks.storage
        is_needed = storage is not None and not shares(self._huey) and self._shows_locks()
        return storage if is_needed else self._huey.storage

    def write(self) -> None:
        """Write it now, if there is something to say; `UnsupportedStorage` is raised only once."""
        if self._unable:
            return
        revision = self._revision()
        try:
            self._write_record(self._shared_counts())
        except UnsupportedStorage:
            self._unable = True
            raise
        self._written_revision = revision

    def _shared_counts(self) -> Totals:
        """Return the totals without the counts from immediate mode.

        Huey makes another storage whenever the mode is switched. If the storage has changed since
        the last call, the counts since that call are attributed to immediate mode.
        """
        counted, storage = self._totals(), self._huey.storage
        if storage is not self._storage() or not shares(self._huey):
            merge(self._unshared, added(counted, self._counted))
            self._storage = ref(storage)
        self._counted = counted
        return added(counted, self._unshared) if self._unshared else counted

    def _write_record(self, counted: Totals) -> None:
        if not scheduler.ending:
            self._locks.check()
        if scheduler.ending or (self._leaves and not self._locks.needs_heartbeat()):
            self._leave(counted)
            return
        if not self._leaves and not self._worker and has_worker(self._huey):
            self._on_worker_detected()
        state = self._state()
        self._look_after_native(bool(self._worker or "locks" in state))
        while self._native.errors:
            self._failed("The heartbeat thread", RuntimeError(self._native.errors.popleft()))
        if self._worker or "locks" in state or (counted, state) != self._written:
            self.watches = self._takes_watch()
            self.ledger.write(self._record(counted, state), self.watches)
            self._locks.on_heartbeat_written()
            self._written = counted, state
            if self._worker and self._sequence % _TIDY_EVERY == 1:
                self._fold_dead_processes()
            elif self._sequence == 1:
                self.ledger.fold_dead()  # such as the record of the process that this one replaces

    def _look_after_native(self, is_needed: bool) -> None:
        if is_needed and is_shared(self._huey.storage) and not scheduler.ending:
            self._native.start(self._id)
        else:
            self._native.stop()

    def _takes_watch(self) -> bool:
        if self._worker in ("", "scheduler"):
            return False
        with suppress(Exception):  # a failing storage is reported by the heartbeat
            return self._watch.acquire()
        return False

    def _leave(self, counted: Totals) -> None:
        self._native.stop(seconds=_STOP_SECONDS)
        if self._closed and not scheduler.ending:
            # Before it is written: a storage that is gone for good is asked once.
            self._jobs.cancel()
        try:
            if self._sequence or counted:
                self.ledger.deregister(self._record(counted, {}))
            if self._tidy.held:
                self._tidy.release()
            self._watch.release()
        finally:
            if self._closed and not scheduler.ending:
                self.close()  # a lock may have been taken just now

    def _fold_dead_processes(self) -> None:
        # Each once when it starts, for what it may have left itself; then one of them.
        if self._tidy.acquire() or self._sequence == 1:
            self.ledger.fold_dead()

    def _record(self, counted: Totals, state: dict[str, Any]) -> Heartbeat:
        self._sequence += 1
        return Heartbeat(
            id=self._id,
            place=this_process(),
            worker=self._worker,
            started=self._started,
            sequence=self._sequence,
            stale_after=self._stale_after,
            incarnation=INCARNATION,
            **state,
            skips=tuple(map(LockSkip._make, tuple(self.skips))),
            counters=counted,
        )

    def _state(self) -> dict[str, Any]:
        held = self._locks.held()
        try:
            # What was due is found here, or else in the queue or running.
            waiting, unread = pending_ids(self._huey)
            running, unknown = self._running()
        except Exception as exc:  # whatever tasks are made of: others must know that it lives
            self._failed("The heartbeat", exc)
            return {"unread": 1, **({"locks": held} if held else {})}
        found = {
            "waiting": tuple(sorted(waiting)),
            "running": running,
            "unread": unread + unknown,
            "locks": held,
        }
        return {name: value for name, value in found.items() if value}


def shares(huey: Any) -> bool:
    """Return whether other processes can read what the kit writes for the queue of `huey`."""
    return not huey.immediate and is_shared(huey.storage)


def _kind_of_worker() -> str:
    if multiprocessing.parent_process() is not None:
        return "process"
    gevent: Any = sys.modules.get("gevent")
    if gevent is not None and isinstance(gevent.getcurrent(), gevent.Greenlet):
        return "greenlet"
    return "thread"
