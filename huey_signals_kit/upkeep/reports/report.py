"""What there is in the store, the queue and the schedule, and who works on it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from datetime import datetime
from typing import Any

from huey.utils import Error

from ..._checks import check_huey
from ...ledger import Ledger, Snapshot, open_ledger
from ...metrics.values import Totals, merge, sample
from ...store import UPKEEP, Entry, Store, open_kit_store, open_store
from ...store.keys import Keys, Kind
from ...store.reader import Reader, ReadMessage, Unreadable
from .._ids import packed
from .._moments import to_datetime
from .._task_registry import is_declared
from ..errors import class_of, is_kept
from ..locks.inspection import LockInspector
from ..tokens import marks
from .model import Consumer, KindTotal, Report


def report(
    huey: Any,
    *,
    ledger: Ledger | None = None,
    counted: Totals | None = None,
    watch: LockInspector | None = None,
) -> Report:
    """Count what there is in the storage of *huey*; nothing is changed.

    *counted* is what this process has counted, where it does not write that to the ledger.
    """
    huey = check_huey(huey, "report()")
    ledger = ledger or open_ledger(huey)
    snapshot = ledger.snapshot()
    merge(snapshot.totals, counted or {})
    return _Counting(huey, snapshot, watch or LockInspector(huey, ledger)).run()


class _Counting:
    def __init__(self, huey: Any, ledger: Snapshot, watch: LockInspector) -> None:
        self._huey = huey
        self._store: Store = open_store(huey)
        self._reader = Reader(huey)
        self._keys = Keys(huey)
        self._ledger = ledger
        self._watch = watch
        self._locks: dict[str, bytes | None] = {}
        self._now = huey._get_timestamp()
        self._alive: set[bytes] = set()
        self._etas: list[datetime] = []
        self._kinds: dict[str, KindTotal] = {str(kind): KindTotal() for kind in Kind}
        self._errors: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()
        self._report = Report(
            queue=str(huey.name),
            storage=self._store.name,
            serializer=self._reader.serializer_name,
            trusted_serializer=self._reader.is_trusted,
            kinds=self._kinds,
        )

    def run(self) -> Report:
        started, made = time.monotonic(), self._report
        self._messages()
        self._processes(self._ledger)
        for batch in self._store.entries():
            for entry in batch:
                self._count(entry)
        for lock in self._watch.inspect(self._locks):
            made.locks.held += 1
            made.locks.stale += lock.alive is False
            made.locks.unclaimed += lock.alive is None
        made.errors = dict(self._errors.most_common())
        made.kept = dict(self._kept.most_common())
        made.tokens.marked, oldest = marks.summary(open_kit_store(self._huey, UPKEEP))
        made.tokens.oldest_mark = None if oldest is None else _told(oldest)
        made.seconds = time.monotonic() - started
        return made

    def _messages(self) -> None:
        for batch in self._store.scheduled():
            self._report.schedule.length += len(batch)
            self._etas += [each.eta for each in map(self._message, batch) if each and each.eta]
            self._etas.sort(key=_without_zone)
            self._etas = [*self._etas[:1], *self._etas[-1:]]
        if self._etas:
            schedule = self._report.schedule
            schedule.first, schedule.last = (each.isoformat() for each in self._etas)
        for batch in self._store.queued():
            self._report.queue_length += len(batch)
            for message in batch:
                self._message(message)

    def _message(self, raw: bytes) -> ReadMessage | None:
        try:
            found = self._reader.message(raw)
        except Unreadable:
            self._report.unreadable.messages += 1
            return None
        self._lives(found.ids)
        return found

    def _lives(self, task_ids: Any) -> None:
        self._alive.update(each for each in map(packed, task_ids) if each is not None)

    def _processes(self, snapshot: Snapshot) -> None:
        self._report.unreadable.records = sorted(snapshot.unreadable)
        for key, value in sorted(snapshot.totals.items()):
            each = sample(key, value)
            plain = value if isinstance(value, int) else asdict(value)
            counter = {"metric": each.metric, "labels": dict(each.labels), "value": plain}
            self._report.counters.append(counter)
        for process in snapshot.processes:
            beat = process.heartbeat
            if not process.gone:
                self._lives(beat.ids)
            elif not beat.worker:
                continue  # an application that ended without deleting its record
            running = [{"id": e.task_id, "task": e.task_name} for e in beat.running]
            started = _told(beat.started)
            self._report.consumers.append(
                Consumer(beat.host, beat.pid, beat.worker, started, process.alive, running)
            )

    def _count(self, entry: Entry) -> None:
        kind = self._keys.kind(entry.key)
        if kind is Kind.TOKEN:
            self._token(entry)
        elif kind is Kind.PAUSE:
            self._pause(entry)
        elif kind is Kind.LOCK:
            self._locks[self._keys.lock_name(entry.key)] = entry.value
        elif kind is Kind.RESULT:
            kind = self._result(entry)
        total = self._kinds[str(kind)]
        total.keys += 1
        total.bytes += entry.size

    def _result(self, entry: Entry) -> Kind:
        value = self._value(entry)
        if not isinstance(value, Error):
            return Kind.RESULT
        name = class_of(value)
        self._errors[name] += 1
        if is_kept(value):
            self._kept[name] += 1
        return Kind.ERROR

    def _token(self, entry: Entry) -> None:
        if not self._reader.is_token(entry.value):
            self._report.unreadable.values += 1
            return
        made, tokens = packed(entry.key[2:]), self._report.tokens
        if made is None:
            tokens.custom += 1
        elif made in self._alive:
            tokens.live += 1
        else:
            tokens.orphaned += 1

    def _pause(self, entry: Entry) -> None:
        if not self._reader.is_token(entry.value):
            self._report.unreadable.values += 1
            return
        until, once = self._reader.value(entry.value)
        name, pauses = entry.key[3:], self._report.pauses
        (pauses.expired if not once and self._is_over(until) else pauses.active).append(name)
        declared = is_declared(self._huey, name)
        if not declared:
            (pauses.unknown if declared is None else pauses.ownerless).append(name)

    def _is_over(self, until: datetime | None) -> bool:
        try:
            return until is not None and until <= self._now
        except TypeError:  # with a time zone: not as Huey writes it
            return False

    def _value(self, entry: Entry) -> Any:
        try:
            return self._reader.value(entry.value)
        except Unreadable:
            self._report.unreadable.values += 1
            return None


def _without_zone(eta: datetime) -> datetime:
    return eta.replace(tzinfo=None)  # Huey writes none, and compares none with one


def _told(seconds: float) -> str:
    found = to_datetime(seconds)  # of whatever somebody has written there
    return "?" if found is None else found.isoformat(timespec="seconds")
