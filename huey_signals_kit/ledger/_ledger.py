"""What all consumers of one queue share."""

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
from ._backend import PROCESS, TOTALS, LedgerBackend, StoredValues
from ._failure_detector import OVERDUE_SECONDS, FailureDetector
from ._holder_state import HolderState, holder_state
from ._lease import Lease
from ._liveness import Liveness, LivenessDetector, Process
from ._open import older_records, open_backend
from ._own_record import OwnRecord, huey_of, is_of_this_process
from ._record import Heartbeat, try_load
from ._totals import fold, try_load_totals
from ._unreadable import OlderVersion, UnknownTasks, UnreadableLedger, older_text, unknown_text

_OLDER_SECONDS = 60.0
"""Seconds between two searches for records of version 0.1 in places that only it uses."""


@dataclass(frozen=True)
class Snapshot:
    """All of a ledger, as it stood at one moment."""

    processes: list[Process] = field(default_factory=list)
    totals: Totals = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    """The names of records that cannot be read; what they say is missing from all this."""

    @property
    def older(self) -> list[Heartbeat]:
        """The records of version 0.1 whose processes may be alive."""
        maybe = (e.heartbeat for e in self.processes if e.alive is not False and not e.gone)
        return [each for each in maybe if not each.stale_after]


class Ledger:
    """The ledger of one queue; made by `open_ledger`.

    Keep it: who lives on another host is told by what has changed since it last looked.
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
        self._watching = RenewedLock()
        self._liveness = LivenessDetector(self._clock)
        self._liveness.stale_after = self._stale_after
        self._detector = FailureDetector(self._clock)
        self._liveness.detectors = (self._detector,)
        self._own: dict[str, OwnRecord] = {}
        self._older: list[Heartbeat] = []
        self._older_due = self._clock()

    def write(
        self, record: Heartbeat, watch: bool = False, detector: FailureDetector | None = None
    ) -> None:
        """Write what *record* says, in one write; its counters are all since its id began.

        The record that is stored may get another id and fewer counters: when others thought
        the process dead, and have added what it had counted to the totals.

        Args:
            record: The record to write.
            watch: Also watch the other processes, which takes one more reading.
            detector: The detector to watch them with; by default that of this ledger.
        """
        with self._lock:
            self._write(record, detector or self._detector, watch)

    def _write(self, record: Heartbeat, detector: FailureDetector, watch: bool) -> None:
        backend = self._backend()
        with self._watching:
            noted = replace(record, notes=detector.notes())
        try:
            intact = self._own_of(record).write(backend, noted)
            written = detector.now()
        except BaseException:
            detector.reset()
            raise
        try:
            if not watch:
                detector.reset()
                return
            raw = backend.read()
            server = backend.run_id()
        except Exception:  # the heartbeat itself was written
            detector.reset()
            return
        with self._watching:
            peers = self._liveness.peers(_readable(raw.records, []), _values(raw))
            detector.observe(peers, written=written, intact=intact, server=server)

    def believe(self, detector: FailureDetector, believed: bool) -> None:
        """Trust the silences that *detector* measures, or stop trusting them.

        Args:
            detector: A detector of this process.
            believed: Whether to trust it from now on.
        """
        with self._watching:
            others = (each for each in self._liveness.detectors if each is not detector)
            self._liveness.detectors = (*others, detector) if believed else tuple(others)

    def deregister(self, record: Heartbeat) -> None:
        """The process ends: add its counters to the totals, and have no record any more."""
        with self._lock:
            own, backend = self._own_of(record), self._backend()
            own.write(backend, record, last=True)
            own.fold(backend)

    def _own_of(self, record: Heartbeat) -> OwnRecord:
        found = self._own.get(record.id)
        if found is None:
            found = self._own[record.id] = OwnRecord(
                record.id, OVERDUE_SECONDS, self._clock, self._huey
            )
        return found

    def snapshot(self) -> Snapshot:
        """Everything, read at once."""
        backend = self._backend()
        raw = backend.read()
        folded = try_load_totals(raw.totals)
        snapshot = Snapshot()
        if folded is not None:
            merge(snapshot.totals, folded.counters)
        elif raw.totals is not None:
            snapshot.unreadable.append(TOTALS)
        records = _readable(raw.records, snapshot.unreadable)
        done = frozenset(folded.ids if folded is not None else ())
        for record, judged in self._judged(backend, records, _values(raw)):
            if record.id not in done:
                merge(snapshot.totals, record.counters)
            if not record.sealed:
                process = Process(record, judged.alive, judged.gone, judged.silent)
                snapshot.processes.append(process)
        return snapshot

    def _judged(
        self, backend: LedgerBackend, records: list[Heartbeat], values: dict[str, bytes]
    ) -> list[tuple[Heartbeat, Liveness]]:
        recently_written = backend.recently_written([each.id for each in records])
        with self._watching:
            self._liveness.observe(records, values)
            return [
                (
                    each,
                    self._liveness.assess(
                        each,
                        None if recently_written is None else each.id in recently_written,
                        is_of_this_process(each.id),
                    ),
                )
                for each in records
            ]

    def holder_state(self, holder: Holder, snapshot: Snapshot) -> HolderState:
        """Judge the process that holds a lock, by the last *look*."""
        with self._watching:
            return holder_state(self._liveness, holder, snapshot.processes)

    def stale_after(self) -> float:
        """Return the longest silence after which any process counts as dead."""
        with self._watching:
            return self._liveness.limit()

    def processes(self) -> list[Process]:
        """Every process that has written a record and not left."""
        return self.snapshot().processes

    def totals(self) -> Totals:
        """What all processes have counted, those that are gone included."""
        return self.snapshot().totals

    def running_ids(self) -> set[str]:
        """The ids of all running tasks, and of all that are nested in these.

        Of this process as it is now, of the others as of their last heartbeat. A process whose
        death is only presumed counts for ten minutes more. `UnreadableLedger` if a record
        cannot be read, or names a task in hand that its process cannot look through: nobody
        knows what that leads to.
        """
        snapshot = self.snapshot()
        if snapshot.unreadable:
            raise UnreadableLedger(
                f"cannot tell which tasks are running: {self._name()} has the records "
                f"{', '.join(sorted(snapshot.unreadable))}, which this version cannot read. "
                "Let all consumers run one version, or delete them"
            )
        self._refuse_older(snapshot)
        found, unread = _live_ids(self._huey)
        if unread:
            raise UnknownTasks(unknown_text(unread, "this process"))
        for process in snapshot.processes:
            if not process.gone:
                found |= self._ids_of(process.heartbeat)
        return found

    def _refuse_older(self, snapshot: Snapshot) -> None:
        if self._huey is not None and self._clock() >= self._older_due:
            self._older = older_records(self._huey)
            self._older_due = self._clock() + _OLDER_SECONDS
        if older := [*snapshot.older, *self._older]:
            raise OlderVersion(older_text(older[0]))

    def _ids_of(self, beat: Heartbeat) -> set[str]:
        found, unread = _live_ids(huey_of(beat.id))
        if unread or beat.unread:
            where = f"process {beat.pid} on {beat.host}"
            raise UnknownTasks(unknown_text(unread or beat.unread, where))
        return found | beat.ids

    def heartbeat_numbers(self) -> dict[str, int]:
        """For each other process with a worker, unless gone, the number of its last heartbeat.

        What it runs at some moment is known to all once that number has changed since; what
        this process runs is known at any time.
        """
        found = (each.heartbeat for each in self.processes() if not each.gone)
        return {
            each.id: each.sequence
            for each in found
            if each.worker and not is_of_this_process(each.id)
        }

    def fold_dead(self) -> int:
        """Add the counters of processes that are gone to the totals; how many this call did."""
        backend = self._backend()
        raw = backend.read()
        judged = self._judged(backend, _readable(raw.records, []), _values(raw))
        _forget_alive(backend, raw)
        return sum(fold(backend, record.id) for record, judgement in judged if judgement.gone)

    def lease(self, name: str, seconds: float) -> Lease:
        """What one process at a time can hold, for *seconds* after it was taken or renewed."""
        return Lease(lambda: self._backend().leases, name, seconds, self._clock)

    def _name(self) -> str:
        return "the ledger" if self._huey is None else f"the ledger of {self._huey.name!r}"


def _values(raw: StoredValues) -> dict[str, bytes]:
    """Return, for each process, the values that change while it is alive."""
    # A process may continue under another id, ``<first id>.<number>``; ``alive:`` has the first.
    first = {each: raw.alive.get(each.partition(".")[0], b"") for each in raw.records}
    return {each: value + first[each] for each, value in raw.records.items()}


def _readable(raw: dict[str, bytes], unreadable: list[str]) -> list[Heartbeat]:
    found = []
    for each, value in raw.items():
        record = try_load(value)
        if record is None or record.id != each:
            unreadable.append(PROCESS + each)
        else:
            found.append(record)
    return found


def _live_ids(huey: Any) -> tuple[set[str], int]:
    return (set(), 0) if huey is None else in_flight_ids(huey)


def open_ledger(
    huey: Any, stale_after: float = 0.0, storage: Callable[[], Any] | None = None
) -> Ledger:
    """Open the ledger of the queue of *huey*, on the storage that it has at each call.

    Args:
        huey: The Huey.
        stale_after: The least number of seconds of silence after which a process counts as dead;
            its record may ask for more.
        storage: Returns the storage to use; by default that of the Huey.
    """

    def backend() -> LedgerBackend:
        return open_backend(huey, None if storage is None else storage())

    return Ledger(backend, huey, stale_after=stale_after)


def _forget_alive(backend: LedgerBackend, found: StoredValues) -> None:
    # A living process writes its value again.
    ids = {each.partition(".")[0] for each in found.records}
    orphaned = [each for each in found.alive if each.partition(".")[0] not in ids]
    if orphaned:
        backend.delete_alive(orphaned)
