"""Find out where one task is, and why it does not run.

Nothing is changed, and no value is unpickled. All places where a task can be are searched in the
direction in which tasks move: schedule, queue, running. A task that leaves a place before it is
read is found in the next one. There is one gap: a worker that has just dequeued the task names it
in its next heartbeat, up to five seconds later. So if the task was not found for certain, the
search is repeated after every worker has written one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from ..._checks import check_huey, short
from ...huey_internals.django_tasks import RUN_TASK_NAME
from ...ledger import HEARTBEAT_SECONDS, Ledger, Process, Snapshot, open_ledger
from ...metrics.labels import sanitize_label
from ...metrics.names import LABELS, LOCK_SKIPS
from ...store import BATCH, Keys, Kind, Reader, open_store
from ...store.keys import CHORD, DJANGO, PAUSE, TOKEN
from .._common import to_datetime
from ..locks.info import LockInfo
from ..locks.inspection import LockInspector
from .messages import MAX_LOCATIONS, MessageSearch
from .model import (
    ARGUMENT,
    DUE,
    NESTED,
    RUNNING,
    Chord,
    Explanation,
    Location,
    Revocation,
    SkippedAttempt,
)
from .nested import ChordConfig
from .result import read_django_record, read_result

_PATIENCE_SECONDS = HEARTBEAT_SECONDS + 2.0
_POLL_SECONDS = 0.2
_NEW_WORKER_SECONDS = 2.0
"""Seconds within which a worker that has just started writes its first record."""

_NO_WORKER = ("", "scheduler")
_LABELS = LABELS[LOCK_SKIPS]
_TASK, _LOCK = _LABELS.index("task"), _LABELS.index("lock")


def explain(
    huey: Any,
    task_id: str,
    *,
    ledger: Ledger | None = None,
    on_progress: Callable[[str], object] | None = None,
    patience: float = _PATIENCE_SECONDS,
    locks: Iterable[LockInfo] | None = None,
) -> Explanation:
    """Search every place where a task can be.

    Args:
        huey: The Huey, with a kit or without.
        task_id: The id of the task.
        ledger: The ledger of its queue; opened if missing.
        on_progress: Called repeatedly with a text about the current step.
        patience: Seconds to wait at most for the heartbeats of workers, if the task was not found;
            0 to search once only.
        locks: The locks of the queue; searched in the store if missing.

    Raises:
        TypeError: The id is not a string, or empty.
    """
    huey = check_huey(huey, "explain()")
    if not isinstance(task_id, str) or not task_id:
        raise TypeError(f"explain() takes the id of a task, got {short(task_id)}")
    ledger, on_progress = ledger or open_ledger(huey), on_progress or (lambda text: None)
    explanation = _Search(huey, task_id, ledger, on_progress, locks).run()
    is_found = explanation.has_ended or any(map(_is_certain, explanation.places))
    if not is_found and patience > 0:
        _wait_for_workers(ledger, patience, on_progress)
        explanation = _Search(huey, task_id, ledger, on_progress, locks).run()
    return explanation


def _is_certain(location: Location) -> bool:
    """Return whether the task is there: not only its id, and not only in a dead process."""
    return location.path != (ARGUMENT,) and location.alive is not False


def _wait_for_workers(
    ledger: Ledger, patience: float, on_progress: Callable[[str], object]
) -> None:
    """Wait until every worker has written a heartbeat, which names what it has dequeued."""
    started, missing = time.monotonic(), ledger.heartbeat_numbers()
    while time.monotonic() - started < (
        patience if missing else min(patience, _NEW_WORKER_SECONDS)
    ):
        on_progress("waiting for the heartbeats of the workers")
        time.sleep(_POLL_SECONDS)
        numbers = ledger.heartbeat_numbers()
        missing = {
            process_id: number
            for process_id, number in missing.items()
            if numbers.get(process_id) == number
        }


class _Search:
    """One search for one task.

    Args:
        huey: The Huey.
        task_id: The id of the task.
        ledger: The ledger of its queue.
        on_progress: Called repeatedly with a text about the current step.
        locks: The locks of the queue; searched if missing.
    """

    def __init__(
        self,
        huey: Any,
        task_id: str,
        ledger: Ledger,
        on_progress: Callable[[str], object],
        locks: Iterable[LockInfo] | None,
    ) -> None:
        self._huey = huey
        self._id = task_id
        self._ledger = ledger
        self._locks = locks
        self._store, self._reader, self._keys = open_store(huey), Reader(huey), Keys(huey)
        self._explanation = Explanation(
            task_id, str(huey.name), self._store.name, bool(huey.utc), huey._get_timestamp()
        )
        self._is_django_task = False
        self._messages = MessageSearch(
            self._store,
            self._reader,
            self._explanation,
            lambda count: on_progress(f"{count:,} tasks read"),
        )

    def run(self) -> Explanation:
        """Search all places, in the direction in which tasks move."""
        self._messages.run()
        snapshot = self._ledger.snapshot()
        self._search_processes(snapshot)
        self._read_result()
        self._find_locks()
        self._find_skipped_attempts(snapshot)
        self._count_skips(snapshot)
        self._read_tokens()
        self._add_chord(self._messages.member_of, is_member=True)
        self._add_chord(self._messages.called_by, is_member=False)
        return self._explanation

    def _search_processes(self, snapshot: Snapshot) -> None:
        counts = self._explanation.looked
        counts.records = len(snapshot.unreadable)
        for process in snapshot.processes:
            record = process.heartbeat
            if process.alive is not False and not process.gone:
                counts.workers += record.worker not in _NO_WORKER
                counts.untold += record.unread
            # The tasks of a dead process are in its record for some time, and nowhere else.
            if process.alive is False or not process.gone:
                self._search_process(process)

    def _search_process(self, process: Process) -> None:
        record, is_running = process.heartbeat, False
        where: dict[str, Any] = {"host": record.host, "pid": record.pid, "alive": process.alive}
        for task in record.running:
            if self._id in (task.task_id, *task.nested):
                is_running, is_itself = True, task.task_id == self._id
                if is_itself:
                    self._explanation.task_name = task.task_name
                path = () if is_itself else (NESTED,)
                since = to_datetime(task.since)
                self._add(
                    Location(RUNNING, task.task_name, task.task_id, path, since=since, **where)
                )
        if not is_running and self._id in record.waiting:
            self._add(Location(DUE, "", self._id, **where))
        self._messages.note_similar(task.task_id for task in record.running)

    def _add(self, location: Location) -> None:
        if len(self._explanation.places) < 2 * MAX_LOCATIONS:
            self._explanation.places.append(location)
        else:
            self._explanation.more += 1

    def _read_result(self) -> None:
        if self._keys.kind(self._id) is not Kind.RESULT:
            return
        explanation = self._explanation
        raw, record = self._store.get([self._id, DJANGO + self._id])
        if record is not None:
            self._is_django_task = True
            explanation.result, name, arguments = read_django_record(self._reader, record, self._id)
            # The record is what Django runs; a message may have another task with this id inside.
            explanation.task_name = name or explanation.task_name
            explanation.arguments = arguments or explanation.arguments
        if raw is not None:  # the error of a Django task, with its text
            explanation.result = read_result(self._reader, raw)

    def _find_locks(self) -> None:
        locks = self._locks
        if locks is None:
            locks = LockInspector(self._huey, self._ledger).all()
        for lock in locks:
            if lock.task_id == self._id:
                self._explanation.task_name = self._explanation.task_name or lock.task_name
                self._explanation.locks.append(lock)

    def _find_skipped_attempts(self, snapshot: Snapshot) -> None:
        attempts = self._explanation.skipped
        for process in snapshot.processes:
            record = process.heartbeat
            # Two handlers may have recorded the same skip.
            for skip in dict.fromkeys(record.skips):
                at = to_datetime(skip.at) if skip.task_id == self._id else None
                if at is not None:
                    attempts.append(SkippedAttempt(at, skip.lock, record.host, record.pid))
        attempts.sort(key=lambda attempt: attempt.at)

    def _count_skips(self, snapshot: Snapshot) -> None:
        name, skips = self._explanation.task_name, self._explanation.skips
        for (metric, *labels), value in snapshot.totals.items():
            if name is not None and metric == LOCK_SKIPS and isinstance(value, int):
                lock = labels[_LOCK]
                if labels[_TASK] == sanitize_label(name):
                    skips[lock] = skips.get(lock, 0) + value

    def _read_tokens(self) -> None:
        keys = [TOKEN + self._id]
        keys += [PAUSE + self._explanation.task_name] if self._explanation.task_name else []
        keys += [PAUSE + RUN_TASK_NAME] if self._is_django_task else []
        for key, raw in zip(keys, self._store.get(keys), strict=True):
            if raw is not None:
                self._explanation.tokens.append(self._revocation(key, raw))

    def _revocation(self, key: str, raw: bytes) -> Revocation:
        if not self._reader.is_token(raw):
            return Revocation(key, readable=False)
        until, once = self._reader.value(raw)
        try:
            is_over = not once and until is not None and until <= self._explanation.now
        except TypeError:  # it has a time zone, so Huey has not written it
            is_over = False
        return Revocation(key, until, once, is_over)

    def _add_chord(self, config: ChordConfig | None, is_member: bool) -> None:
        if config is None:
            return
        done = None
        if 0 < config.size <= BATCH:
            keys = [f"{CHORD}{config.chord_id}:{index}" for index in range(config.size)]
            done = sum(raw is not None for raw in self._store.get(keys))
        part = config.part if is_member else None
        self._explanation.chords.append(Chord(config.chord_id, config.size, part, done))
