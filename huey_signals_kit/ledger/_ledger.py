"""What all consumers of one queue share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .._fork import reset_in_child
from ..sinks.readings import Totals, merge
from ..store import LEDGER, REDIS, family_of, open_kit_store
from ._in_flight import live_ids
from ._lease import Lease
from ._own import Own, huey_of, is_of_this_process
from ._record import Heartbeat, try_load
from ._redis import RedisShelf
from ._shelf import PROCESS, TOTALS, Shelf, Snapshot, StoreShelf
from ._totals import fold, try_load_totals
from ._watch import OVERDUE_SECONDS, Judgement, Watch


class UnreadableLedger(ValueError):
    """Records that no version of this package, or another one, has written."""


class UnknownTasks(UnreadableLedger):
    """A process has tasks in hand of which it cannot say what they lead to."""


@dataclass(frozen=True)
class Process:
    """A process that has a record, and whether it lives; None when that cannot be told yet."""

    heartbeat: Heartbeat
    alive: bool | None
    gone: bool
    """Whether nothing of it counts any more but its counters.

    Nobody runs its tasks: it ended, or has not been heard of for ten minutes.
    """


@dataclass(frozen=True)
class Look:
    """All of a ledger, as it stood at one moment."""

    processes: list[Process] = field(default_factory=list)
    totals: Totals = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    """The names of records that cannot be read; what they say is missing from all this."""


class Ledger:
    """The ledger of one queue; made by `open_ledger`.

    Keep it: who lives on another host is told by what has changed since it last looked.
    """

    def __init__(
        self,
        shelf: Callable[[], Shelf],
        huey: Any = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shelf = shelf
        self._huey = huey
        self._clock = clock
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        self._watching = threading.Lock()
        self._watch = Watch(self._clock)
        self._own: dict[str, Own] = {}

    def beat(self, record: Heartbeat) -> None:
        """Write what *record* says, in one write; its counters are all since its id began.

        The record that is stored may get another id and fewer counters: when others thought
        the process dead, and have added what it had counted to the totals.
        """
        with self._lock:
            self._own_of(record).write(self._shelf(), record)

    def leave(self, record: Heartbeat) -> None:
        """The process ends: add its counters to the totals, and have no record any more."""
        with self._lock:
            own, shelf = self._own_of(record), self._shelf()
            own.write(shelf, record, last=True)
            own.fold(shelf)

    def _own_of(self, record: Heartbeat) -> Own:
        found = self._own.get(record.id)
        if found is None:
            found = self._own[record.id] = Own(record.id, OVERDUE_SECONDS, self._clock, self._huey)
        return found

    def look(self) -> Look:
        """Everything, read at once."""
        shelf = self._shelf()
        raw_totals, raw_records, _ = shelf.read()
        folded = try_load_totals(raw_totals)
        look = Look()
        if folded is not None:
            merge(look.totals, folded.counters)
        elif raw_totals is not None:
            look.unreadable.append(TOTALS)
        records = self._readable(raw_records, look.unreadable)
        done = frozenset(folded.ids if folded is not None else ())
        for record, judged in self._judged(shelf, records):
            if record.id not in done:
                merge(look.totals, record.counters)
            if not record.sealed:
                look.processes.append(Process(record, judged.alive, judged.gone))
        return look

    def _readable(self, raw: dict[str, bytes], unreadable: list[str]) -> list[Heartbeat]:
        found = []
        for each, value in raw.items():
            record = try_load(value)
            if record is None or record.id != each:
                unreadable.append(PROCESS + each)
            else:
                found.append(record)
        return found

    def _judged(self, shelf: Shelf, records: list[Heartbeat]) -> list[tuple[Heartbeat, Judgement]]:
        fresh = shelf.fresh([each.id for each in records])
        with self._watching:
            self._watch.keep({each.id for each in records})
            return [
                (
                    each,
                    self._watch.judge(
                        each,
                        None if fresh is None else each.id in fresh,
                        is_of_this_process(each.id),
                    ),
                )
                for each in records
            ]

    def processes(self) -> list[Process]:
        """Every process that has written a record and not left."""
        return self.look().processes

    def totals(self) -> Totals:
        """What all processes have counted, those that are gone included."""
        return self.look().totals

    def running_ids(self) -> set[str]:
        """The ids of all running tasks, and of all that are nested in these.

        Of this process as it is now, of the others as of their last heartbeat. A process whose
        death is only presumed counts for ten minutes more. `UnreadableLedger` if a record
        cannot be read, or names a task in hand that its process cannot look through: nobody
        knows what that leads to.
        """
        look = self.look()
        if look.unreadable:
            raise UnreadableLedger(
                f"cannot tell which tasks are running: {self._name()} has the records "
                f"{', '.join(sorted(look.unreadable))}, which this version cannot read. Let all "
                "consumers run one version, or delete them"
            )
        found, unread = _live_ids(self._huey)
        if unread:
            raise UnknownTasks(_unknown(unread, "this process"))
        for process in look.processes:
            if not process.gone:
                found |= self._ids_of(process.heartbeat)
        return found

    def _ids_of(self, beat: Heartbeat) -> set[str]:
        found, unread = _live_ids(huey_of(beat.id))
        if unread or beat.unread:
            where = f"process {beat.pid} on {beat.host}"
            raise UnknownTasks(_unknown(unread or beat.unread, where))
        return found | beat.ids

    def beats(self) -> dict[str, int]:
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
        shelf = self._shelf()
        raw = shelf.read()
        judged = self._judged(shelf, self._readable(raw.records, []))
        _forget_alive(shelf, raw)
        return sum(fold(shelf, record.id) for record, judgement in judged if judgement.gone)

    def lease(self, name: str, seconds: float) -> Lease:
        """What one process at a time can hold, for *seconds* after it was taken or renewed."""
        return Lease(lambda: self._shelf().leases, name, seconds, self._clock)

    def _name(self) -> str:
        return "the ledger" if self._huey is None else f"the ledger of {self._huey.name!r}"


def _live_ids(huey: Any) -> tuple[set[str], int]:
    return (set(), 0) if huey is None else live_ids(huey)


def _unknown(number: int, where: str) -> str:
    tasks = "a task" if number == 1 else f"{number} tasks"
    return f"cannot tell what is running: {where} has {tasks} in hand that it cannot look through"


def open_ledger(huey: Any) -> Ledger:
    """The ledger of the queue of *huey*, on whatever storage it has at the time."""

    return Ledger(lambda: open_shelf(huey), huey)


def open_shelf(huey: Any, storage: Any = None) -> Shelf:
    """Open the values of the ledger of the queue of `huey`.

    Args:
        huey: The Huey, for its serializer and its storage.
        storage: Another storage object of the same kind, as with a connection of its own.
    """
    storage = huey.storage if storage is None else storage
    family = family_of(storage)
    if family is not None and family.name in REDIS:
        return RedisShelf(storage)
    return StoreShelf(open_kit_store(huey, LEDGER, storage))


def _forget_alive(shelf: Shelf, found: Snapshot) -> None:
    # A process that lives writes its own again.
    ids = {each.partition(".")[0] for each in found.records}
    orphaned = [each for each in found.alive if each.partition(".")[0] not in ids]
    if orphaned:
        shelf.delete_alive(orphaned)
