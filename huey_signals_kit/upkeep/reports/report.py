"""Count what the store, the queue and the schedule hold, and list who works on them.

Everything is read in batches, so memory grows with the number of tasks that can still run, not with
the number of keys. The tasks are read first. So a token whose task is enqueued during the report
may be counted as orphaned; unlike a sweep, a report deletes nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from ..._checks import check_huey
from ...huey_internals.django_tasks import RUN_TASK_NAME
from ...ledger import Ledger, Snapshot, open_ledger
from ...metrics.values import Totals, merge, to_sample
from ...store import UPKEEP, Entry, Store, open_kit_store, open_store
from ...store.keys import DJANGO_KINDS, PAUSE, TOKEN, Keys, Kind
from ...store.reader import Reader, ReadMessage, Unreadable
from .._common import to_datetime
from .._ids import pack_id
from .._task_registry import is_declared
from ..errors import stored_error
from ..locks.inspection import LockInspector
from ..tokens import marks
from ..tokens.last_sweep import last_sweep
from .model import Consumer, KindTotal, Report


def report(
    huey: Any,
    *,
    ledger: Ledger | None = None,
    counted: Totals | None = None,
    inspector: LockInspector | None = None,
    on_queued: Callable[[list[bytes]], object] = lambda messages: None,
) -> Report:
    """Return the state of a queue; nothing is changed.

    Args:
        huey: The Huey, with a kit or without.
        ledger: The ledger of its queue; opened if missing.
        counted: The totals of this process, if it does not write them to the ledger.
        inspector: The inspector of its locks; created if missing.
        on_queued: Called with each batch of messages of the queue.
    """
    huey = check_huey(huey, "report()")
    ledger = ledger or open_ledger(huey)
    snapshot = ledger.snapshot()
    merge(snapshot.totals, counted or {})
    inspector = inspector or LockInspector(huey, ledger)
    return _ReportBuilder(huey, snapshot, inspector, on_queued).build()


class _ReportBuilder:
    """The work on one report.

    Args:
        huey: The Huey.
        snapshot: The ledger now.
        inspector: The inspector of its locks.
        on_queued: Called with each batch of messages of the queue.
    """

    def __init__(
        self,
        huey: Any,
        snapshot: Snapshot,
        inspector: LockInspector,
        on_queued: Callable[[list[bytes]], object],
    ) -> None:
        self._huey = huey
        self._store: Store = open_store(huey)
        self._reader = Reader(huey)
        self._keys = Keys(huey)
        self._snapshot = snapshot
        self._inspector = inspector
        self._on_queued = on_queued
        self._locks: dict[str, bytes | None] = {}
        self._now = huey._get_timestamp()
        self._live: set[bytes] = set()
        self._etas: list[datetime] = []
        # The kinds of Django's own tasks only where a project has such tasks.
        kinds = set(Kind) if RUN_TASK_NAME in huey._registry._registry else set(Kind) - DJANGO_KINDS
        self._kinds = {str(kind): KindTotal() for kind in Kind if kind in kinds}
        self._errors: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()
        self._expiring: Counter[str] = Counter()
        self._report = Report(
            queue=str(huey.name),
            storage=self._store.name,
            serializer=self._reader.serializer_name,
            trusted_serializer=self._reader.is_trusted,
            kinds=self._kinds,
        )

    def build(self) -> Report:
        """Read everything, and return the report."""
        started, report = time.monotonic(), self._report
        self._count_messages()
        self._add_processes(self._snapshot)
        for batch in self._store.entries():
            for entry in batch:
                self._count(entry)
        for lock in self._inspector.inspect(self._locks):
            report.locks.held += 1
            report.locks.stale += lock.alive is False
            report.locks.unclaimed += lock.alive is None
        report.errors = dict(self._errors.most_common())
        report.kept = dict(self._kept.most_common())
        report.expiring = dict(self._expiring.most_common())
        store = open_kit_store(self._huey, UPKEEP)
        report.tokens.marked, oldest = marks.summary(store)
        report.tokens.oldest_mark = None if oldest is None else _iso(oldest)
        swept = last_sweep(store)
        report.tokens.last_sweep = None if swept is None else _iso(swept)
        report.seconds = time.monotonic() - started
        return report

    def _count_messages(self) -> None:
        for batch in self._store.scheduled():
            self._report.schedule.length += len(batch)
            messages = map(self._read_message, batch)
            self._etas += [message.eta for message in messages if message and message.eta]
            self._etas.sort(key=_without_zone)
            self._etas = [*self._etas[:1], *self._etas[-1:]]
        if self._etas:
            schedule = self._report.schedule
            schedule.first, schedule.last = (eta.isoformat() for eta in self._etas)
        for batch in self._store.queued():
            self._report.queue_length += len(batch)
            self._on_queued(batch)
            for message in batch:
                self._read_message(message)

    def _read_message(self, raw: bytes) -> ReadMessage | None:
        try:
            message = self._reader.message(raw)
        except Unreadable:
            self._report.unreadable.messages += 1
            return None
        self._add_live(message.ids)
        return message

    def _add_live(self, task_ids: Iterable[str]) -> None:
        self._live.update(packed for packed in map(pack_id, task_ids) if packed is not None)

    def _add_processes(self, snapshot: Snapshot) -> None:
        self._report.unreadable.records = sorted(snapshot.unreadable)
        for key, value in sorted(snapshot.totals.items()):
            sample = to_sample(key, value)
            plain = value if isinstance(value, int) else asdict(value)
            counter = {"metric": sample.metric, "labels": dict(sample.labels), "value": plain}
            self._report.counters.append(counter)
        for process in snapshot.processes:
            record = process.heartbeat
            if not process.gone:
                self._add_live(record.ids)
            elif not record.worker:
                continue  # an application that ended without deleting its record
            running = [{"id": task.task_id, "task": task.task_name} for task in record.running]
            started = _iso(record.started)
            consumer = Consumer(
                record.host, record.pid, record.worker, started, process.alive, running
            )
            consumer.periodic.extend(record.periodic)
            self._report.consumers.append(consumer)

    def _count(self, entry: Entry) -> None:
        kind = self._keys.kind(entry.key)
        if kind is Kind.TOKEN:
            self._count_token(entry)
        elif kind is Kind.PAUSE:
            self._count_pause(entry)
        elif kind is Kind.LOCK:
            self._locks[self._keys.lock_name(entry.key)] = entry.value
        elif kind in (Kind.RESULT, Kind.DJANGO):
            kind = self._count_result(entry, kind)
        total = self._kinds.setdefault(str(kind), KindTotal())
        total.keys += 1
        total.bytes += entry.size

    def _count_result(self, entry: Entry, kind: Kind) -> Kind:
        """Count an error, if it is one; return the kind of the entry."""
        error = stored_error(entry.key, kind, self._read_value(entry))
        if error is None:
            return kind
        self._errors[error.class_name] += 1
        if error.is_kept:
            self._kept[error.class_name] += 1
        elif error.expires:
            self._expiring[error.class_name] += 1
        return Kind.DJANGO_ERROR if error.is_of_django else Kind.ERROR

    def _count_token(self, entry: Entry) -> None:
        if not self._reader.is_token(entry.value):
            self._report.unreadable.values += 1
            return
        packed, tokens = pack_id(entry.key[len(TOKEN) :]), self._report.tokens
        if packed is None:
            tokens.custom += 1
        elif packed in self._live:
            tokens.live += 1
        else:
            tokens.orphaned += 1

    def _count_pause(self, entry: Entry) -> None:
        if not self._reader.is_token(entry.value):
            self._report.unreadable.values += 1
            return
        until, once = self._reader.value(entry.value)
        name, pauses = entry.key[len(PAUSE) :], self._report.pauses
        is_expired = not once and self._is_past(until)
        (pauses.expired if is_expired else pauses.active).append(name)
        has_task = is_declared(self._huey, name)
        if not has_task:
            (pauses.unknown if has_task is None else pauses.ownerless).append(name)

    def _is_past(self, until: datetime | None) -> bool:
        try:
            return until is not None and until <= self._now
        except TypeError:  # it has a time zone, so Huey has not written it
            return False

    def _read_value(self, entry: Entry) -> Any:
        try:
            return self._reader.value(entry.value)
        except Unreadable:
            self._report.unreadable.values += 1
            return None


def _without_zone(eta: datetime) -> datetime:
    return eta.replace(tzinfo=None)  # Huey writes times without a zone, which do not compare


def _iso(seconds: float) -> str:
    """Return a stored time in ISO format; ``"?"`` if it is out of range."""
    moment = to_datetime(seconds)
    return "?" if moment is None else moment.isoformat(timespec="seconds")
