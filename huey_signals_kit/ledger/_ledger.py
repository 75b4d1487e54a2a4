"""The ledger of one queue: write this process's record, read all records, judge who is alive."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ..inflight.tasks import in_flight_ids
from ..locks.holder import Holder
from ..metrics.values import Totals, merge
from ..runtime.fork import reset_in_child
from ..runtime.threads import RenewedLock
from ._backend import PROCESS, TOTALS, LedgerBackend, StoredValues, open_backend
from ._failure_detector import OVERDUE_SECONDS, FailureDetector
from ._holder_state import HolderState, holder_state
from ._lease import Lease
from ._liveness import Liveness, LivenessView, Process
from ._own_record import OwnRecord, huey_of, is_of_this_process
from ._record import Heartbeat, try_load
from ._totals import fold, try_load_totals
from ._unreadable import (
    OlderVersion,
    UnknownTasks,
    UnreadableLedger,
    older_records,
    older_text,
    unknown_text,
)

_OLDER_SECONDS = 60.0
"""Seconds between two searches for records of version 0.1 in places that only it uses."""


@dataclass(frozen=True)
class Snapshot:
    """The contents of a ledger at one moment."""

    processes: list[Process] = field(default_factory=list)
    """Every process that has written a record and not ended."""
    totals: Totals = field(default_factory=dict)
    """What all processes have counted, those that are gone included."""
    unreadable: list[str] = field(default_factory=list)
    """The names of records that cannot be read; their contents are missing here."""

    @property
    def older(self) -> list[Heartbeat]:
        """The records of version 0.1 whose processes may be alive."""
        return [
            process.heartbeat
            for process in self.processes
            if process.alive is not False and not process.gone and not process.heartbeat.stale_after
        ]


class Ledger:
    """The ledger of one queue, made by `open_ledger`.

    Keep the object: whether a process of another host is alive is judged by what has changed since
    this object first read the ledger.

    Args:
        backend: Returns the values of the ledger, on the storage that the Huey has at that moment.
        huey: The Huey; None only in tests.
        clock: A monotonic clock, in seconds.
        stale_after: Seconds of silence after which a process counts as dead, at least.
    """

    def __init__(
        self,
        backend: Callable[[], LedgerBackend],
        huey: Any = None,
        clock: Callable[[], float] = time.monotonic,
        stale_after: float = 0.0,
    ) -> None:
        self._backend = backend
        self._huey = huey
        self._clock = clock
        self._stale_after = stale_after
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._lock = RenewedLock()
        self._view_lock = RenewedLock()
        self._view = LivenessView(self._clock)
        self._view.stale_after = self._stale_after
        self._detector = FailureDetector(self._clock)
        self._view.detectors = (self._detector,)
        self._own: dict[str, OwnRecord] = {}
        self._older: list[Heartbeat] = []
        self._older_due = self._clock()

    def write(
        self, record: Heartbeat, observe: bool = False, detector: FailureDetector | None = None
    ) -> None:
        """Write the record of this process, usually in one round trip; the first takes more.

        The stored record may have another id and fewer counters: if others thought the process
        dead, and have added its counters to the totals.

        Args:
            record: The record, with everything that was counted since its id was first used.
            observe: Whether to observe the other processes too, which takes another read.
            detector: The detector to observe them with; by default that of this ledger.
        """
        with self._lock:
            self._write(record, detector or self._detector, observe)

    def _write(self, record: Heartbeat, detector: FailureDetector, observe: bool) -> None:
        """Write the record, then read those of all others.

        The order matters: silence counts only between two successful heartbeats, so the values are
        read after the heartbeat has succeeded. If anything fails, or nothing is read this time, the
        silence of every peer restarts.
        """
        backend = self._backend()
        with self._view_lock:
            with_notes = replace(record, notes=detector.notes())
        try:
            intact = self._own_of(record).write(backend, with_notes)
            written = detector.now()
        except BaseException:
            detector.reset()
            raise
        try:
            if not observe:
                detector.reset()
                return
            raw = backend.read()
            server = backend.run_id()
        except Exception:  # the heartbeat itself was written
            detector.reset()
            return
        with self._view_lock:
            peers = self._view.peers(_readable(raw.records, []), _values(raw))
            detector.observe(peers, written=written, intact=intact, server=server)

    def trust(self, detector: FailureDetector) -> None:
        """Use the silences that `detector`, of this process, measures."""
        with self._view_lock:
            self._view.detectors = (*self._view.detectors, detector)

    def distrust(self, detector: FailureDetector) -> None:
        """Stop using the silences that `detector` measures."""
        with self._view_lock:
            others = (other for other in self._view.detectors if other is not detector)
            self._view.detectors = tuple(others)

    def deregister(self, record: Heartbeat) -> None:
        """Add the counters of this process, which ends, to the totals, and delete its record."""
        with self._lock:
            own, backend = self._own_of(record), self._backend()
            own.write(backend, record, last=True)
            own.fold(backend)

    def _own_of(self, record: Heartbeat) -> OwnRecord:
        own = self._own.get(record.id)
        if own is None:
            own = self._own[record.id] = OwnRecord(
                record.id, OVERDUE_SECONDS, self._clock, self._huey
            )
        return own

    def snapshot(self) -> Snapshot:
        """Read the whole ledger, and judge which processes are alive."""
        backend = self._backend()
        raw = backend.read()
        folded = try_load_totals(raw.totals)
        snapshot = Snapshot()
        if folded is not None:
            merge(snapshot.totals, folded.counters)
        elif raw.totals is not None:
            snapshot.unreadable.append(TOTALS)
        records = _readable(raw.records, snapshot.unreadable)
        folded_ids = frozenset(folded.ids if folded is not None else ())
        for record, liveness in self._assess(backend, records, _values(raw)):
            if record.id not in folded_ids:
                merge(snapshot.totals, record.counters)
            if not record.sealed:
                snapshot.processes.append(Process(record, **vars(liveness)))
        return snapshot

    def _assess(
        self, backend: LedgerBackend, records: list[Heartbeat], values: dict[str, bytes]
    ) -> list[tuple[Heartbeat, Liveness]]:
        """Judge the process of each record.

        Args:
            backend: The values of the ledger.
            records: All records.
            values: Their stored values, by process id.
        """
        recent = backend.recently_written([record.id for record in records])
        with self._view_lock:
            self._view.observe(records, values)
            return [
                (
                    record,
                    self._view.assess(
                        record,
                        None if recent is None else record.id in recent,
                        is_of_this_process(record.id),
                    ),
                )
                for record in records
            ]

    def holder_state(self, holder: Holder, snapshot: Snapshot) -> HolderState:
        """Judge whether the holder of a lock is alive.

        Args:
            holder: The holder that the lock's value names.
            snapshot: The last snapshot of this ledger.
        """
        with self._view_lock:
            return holder_state(self._view, holder, snapshot.processes)

    def stale_after(self) -> float:
        """Return the longest silence after which any process counts as dead, in seconds."""
        with self._view_lock:
            return self._view.limit()

    def processes(self) -> list[Process]:
        """Return every process that has written a record and not ended."""
        return self.snapshot().processes

    def totals(self) -> Totals:
        """Return what all processes have counted, those that are gone included."""
        return self.snapshot().totals

    def running_ids(self) -> set[str]:
        """Return the ids of all tasks in flight, and of all tasks nested in them.

        Those of this process are the present ones, those of others as of their last heartbeat. A
        process that is only presumed dead counts for ten minutes longer.

        Raises:
            UnreadableLedger: A record cannot be read, or a process has a task in flight that it
                cannot read, or a process of version 0.1 may be alive. The ids are then incomplete.
        """
        snapshot = self.snapshot()
        if snapshot.unreadable:
            raise UnreadableLedger(
                f"cannot tell which tasks are running: {self._name()} has the records "
                f"{', '.join(sorted(snapshot.unreadable))}, which this version cannot read. "
                "Let all consumers run one version, or delete them"
            )
        self._refuse_older(snapshot)
        ids, unread = _ids_in_flight(self._huey)
        if unread:
            raise UnknownTasks(unknown_text(unread, "this process"))
        for process in snapshot.processes:
            if not process.gone:
                ids |= self._ids_of(process.heartbeat)
        return ids

    def _refuse_older(self, snapshot: Snapshot) -> None:
        if self._huey is not None and self._clock() >= self._older_due:
            self._older = older_records(self._huey)
            self._older_due = self._clock() + _OLDER_SECONDS
        if older := [*snapshot.older, *self._older]:
            raise OlderVersion(older_text(older[0]))

    def _ids_of(self, record: Heartbeat) -> set[str]:
        ids, unread = _ids_in_flight(huey_of(record.id))
        if unread or record.unread:
            process = f"process {record.pid} on {record.host}"
            raise UnknownTasks(unknown_text(unread or record.unread, process))
        return ids | record.ids

    def heartbeat_numbers(self) -> dict[str, int]:
        """Return the number of the last heartbeat of each other process with a worker.

        A record with a higher number was written after this call, so a sweep waits for one from
        every process. Processes that are gone are left out, and so is this process, whose tasks are
        known at any time.
        """
        records = (process.heartbeat for process in self.processes() if not process.gone)
        return {
            record.id: record.sequence
            for record in records
            if record.worker and not is_of_this_process(record.id)
        }

    def fold_dead(self, keep_workers: bool = False) -> int:
        """Add the counters of processes that are gone to the totals; return how many.

        Args:
            keep_workers: Whether to keep the records of consumers, for an application: until a
                consumer runs again, `report` needs them to say that the workers are dead.
        """
        backend = self._backend()
        raw = backend.read()
        assessed = self._assess(backend, _readable(raw.records, []), _values(raw))
        _delete_orphaned_alive(backend, raw)
        return sum(
            fold(backend, record.id)
            for record, liveness in assessed
            if liveness.gone and not (keep_workers and record.worker)
        )

    def lease(self, name: str, seconds: float, *, has_priority: bool = False) -> Lease:
        """Return a lease, which one process at a time can hold.

        Args:
            name: The name of the lease.
            seconds: Seconds that it is held after each `acquire` or `renew`.
            has_priority: Whether this process may take it over from those without priority.
        """
        return Lease(lambda: self._backend().leases, name, seconds, self._clock, has_priority)

    def _name(self) -> str:
        return "the ledger" if self._huey is None else f"the ledger of {self._huey.name!r}"


def _values(raw: StoredValues) -> dict[str, bytes]:
    """Return, for each process, the values that change while it is alive."""
    # A process may continue under another id, ``<first id>.<number>``; ``alive:`` has the first.
    return {
        process_id: value + raw.alive.get(process_id.partition(".")[0], b"")
        for process_id, value in raw.records.items()
    }


def _readable(raw: dict[str, bytes], unreadable: list[str]) -> list[Heartbeat]:
    """Parse the stored records; append the names of others to `unreadable`."""
    records = []
    for process_id, value in raw.items():
        record = try_load(value)
        if record is None or record.id != process_id:
            unreadable.append(PROCESS + process_id)
        else:
            records.append(record)
    return records


def _ids_in_flight(huey: Any) -> tuple[set[str], int]:
    """Return the ids that this process has in flight, and how many tasks are unread."""
    return (set(), 0) if huey is None else in_flight_ids(huey)


def open_ledger(
    huey: Any, stale_after: float = 0.0, storage: Callable[[], Any] | None = None
) -> Ledger:
    """Open the ledger of the queue of `huey`, on the storage that it has at each call.

    Args:
        huey: The Huey.
        stale_after: The least number of seconds of silence after which a process counts as dead;
            its record may ask for more.
        storage: Returns the storage to use; by default that of the Huey.
    """

    def backend() -> LedgerBackend:
        return open_backend(huey, None if storage is None else storage())

    return Ledger(backend, huey, stale_after=stale_after)


def _delete_orphaned_alive(backend: LedgerBackend, raw: StoredValues) -> None:
    """Delete ``alive:`` values without a record; a living process writes its own again."""
    ids = {process_id.partition(".")[0] for process_id in raw.records}
    orphaned = [process_id for process_id in raw.alive if process_id.partition(".")[0] not in ids]
    if orphaned:
        backend.delete_alive(orphaned)
