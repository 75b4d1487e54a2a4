"""Where one task is, and why it does not run. Nothing is changed, and no value is unpickled."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..._checks import check_huey, short
from ...ledger import HEARTBEAT_SECONDS, Ledger, Process, Snapshot, open_ledger
from ...metrics.labels import sanitize_label
from ...metrics.names import LABELS, LOCK_SKIPS
from ...store import BATCH, Keys, Kind, Reader, open_store
from ...store.keys import CHORD, PAUSE, TOKEN
from .._moments import to_datetime
from ..locks.inspection import LockInspector
from .messages import MOST_PLACES, MessageSearch
from .model import ARGUMENT, DUE, NESTED, RUNNING, Chord, Explanation, Place, Revocation, Skipped
from .nested import ChordConfig
from .result import read_result

_PATIENCE_SECONDS = HEARTBEAT_SECONDS + 2.0
_POLL_SECONDS = 0.2
_LEAST_SECONDS = 2.0
"""Within so many a worker that has just begun says that it is there."""

_NO_WORKER = ("", "scheduler")
_LABELS = LABELS[LOCK_SKIPS]
_TASK, _LOCK = _LABELS.index("task"), _LABELS.index("lock")


def explain(
    huey: Any,
    task_id: str,
    *,
    ledger: Ledger | None = None,
    progress: Callable[[str], object] | None = None,
    patience: float = _PATIENCE_SECONDS,
) -> Explanation:
    """Find the task *task_id* wherever a task of *huey* can be.

    Where nothing has it for sure, it is looked for once more, after up to *patience* seconds:
    once every worker has told again what it runs. *progress* is told now and then what is done.
    """
    huey = check_huey(huey, "explain()")
    if not isinstance(task_id, str) or not task_id:
        raise TypeError(f"explain() takes the id of a task, got {short(task_id)}")
    ledger, tell = ledger or open_ledger(huey), progress or (lambda text: None)
    found = _Search(huey, task_id, ledger, tell).run()
    if found.result is None and not any(map(_is_certain, found.places)):
        _wait_for_workers(ledger, patience, tell)
        found = _Search(huey, task_id, ledger, tell).run()
    return found


def _is_certain(place: Place) -> bool:
    """Whether the task is there: not only its id, nor where nobody runs it any more."""
    return place.path != (ARGUMENT,) and place.alive is not False


def _wait_for_workers(ledger: Ledger, patience: float, tell: Callable[[str], object]) -> None:
    """A task that was taken from the queue is named by the next heartbeat of who has taken it."""
    started, before = time.monotonic(), ledger.heartbeat_numbers()
    while time.monotonic() - started < (patience if before else min(patience, _LEAST_SECONDS)):
        tell("waiting for the workers to say what they run")
        time.sleep(_POLL_SECONDS)
        now = ledger.heartbeat_numbers()
        before = {each: last for each, last in before.items() if now.get(each) == last}


class _Search:
    def __init__(
        self, huey: Any, task_id: str, ledger: Ledger, tell: Callable[[str], object]
    ) -> None:
        self._huey = huey
        self._id = task_id
        self._ledger = ledger
        self._store, self._reader, self._keys = open_store(huey), Reader(huey), Keys(huey)
        self._found = Explanation(
            task_id, str(huey.name), self._store.name, bool(huey.utc), huey._get_timestamp()
        )
        self._messages = MessageSearch(
            self._store, self._reader, self._found, lambda read: tell(f"{read:,} tasks read")
        )

    def run(self) -> Explanation:
        # In the direction in which tasks move: what leaves a place is found in the next one.
        self._messages.run()
        snapshot = self._ledger.snapshot()
        self._running(snapshot)
        self._result()
        self._locks()
        self._skipped(snapshot)
        self._skips(snapshot)
        self._tokens()
        self._chord(self._messages.member_of, True)
        self._chord(self._messages.called_by, False)
        return self._found

    def _running(self, snapshot: Snapshot) -> None:
        looked = self._found.looked
        looked.records = len(snapshot.unreadable)
        for process in snapshot.processes:
            beat = process.heartbeat
            if process.alive is not False and not process.gone:
                looked.workers += beat.worker not in _NO_WORKER
                looked.untold += beat.unread
            # What a dead process was at stands in its record for some time, and nowhere else.
            if process.alive is False or not process.gone:
                self._in_hand(process)

    def _in_hand(self, process: Process) -> None:
        beat, place = process.heartbeat, None
        who: dict[str, Any] = {"host": beat.host, "pid": beat.pid, "alive": process.alive}
        for task in beat.running:
            if self._id in (task.task_id, *task.nested):
                own = task.task_id == self._id
                if own:
                    self._found.task_name = task.task_name
                path = () if own else (NESTED,)
                since = to_datetime(task.since)
                place = Place(RUNNING, task.task_name, task.task_id, path, since=since, **who)
                self._add(place)
        if place is None and self._id in beat.waiting:
            self._add(Place(DUE, "", self._id, **who))
        self._messages.note_alike(beat.ids)

    def _add(self, place: Place) -> None:
        if len(self._found.places) < 2 * MOST_PLACES:
            self._found.places.append(place)
        else:
            self._found.more += 1

    def _result(self) -> None:
        if self._keys.kind(self._id) is Kind.RESULT:
            (raw,) = self._store.get([self._id])
            self._found.result = None if raw is None else read_result(self._reader, raw)

    def _locks(self) -> None:
        for lock in LockInspector(self._huey, self._ledger).all():
            if lock.task_id == self._id:
                self._found.task_name = self._found.task_name or lock.task_name
                self._found.locks.append(lock)

    def _skipped(self, snapshot: Snapshot) -> None:
        found = self._found.skipped
        for process in snapshot.processes:
            beat = process.heartbeat
            # Two handlers may have recorded the same skip.
            for skip in dict.fromkeys(beat.skips):
                at = to_datetime(skip.at) if skip.task_id == self._id else None
                if at is not None:
                    found.append(Skipped(at, skip.lock, beat.host, beat.pid))
        found.sort(key=lambda each: each.at)

    def _skips(self, snapshot: Snapshot) -> None:
        name, skips = self._found.task_name, self._found.skips
        for (metric, *labels), value in snapshot.totals.items():
            if name is not None and metric == LOCK_SKIPS and isinstance(value, int):
                lock = labels[_LOCK]
                if labels[_TASK] == sanitize_label(name):
                    skips[lock] = skips.get(lock, 0) + value

    def _tokens(self) -> None:
        keys = [TOKEN + self._id]
        keys += [PAUSE + self._found.task_name] if self._found.task_name else []
        for key, raw in zip(keys, self._store.get(keys), strict=True):
            if raw is not None:
                self._found.tokens.append(self._revocation(key, raw))

    def _revocation(self, key: str, raw: bytes) -> Revocation:
        if not self._reader.is_token(raw):
            return Revocation(key, readable=False)
        until, once = self._reader.value(raw)
        try:
            over = not once and until is not None and until <= self._found.now
        except TypeError:  # with a time zone: not as Huey writes it
            over = False
        return Revocation(key, until, once, over)

    def _chord(self, config: ChordConfig | None, member: bool) -> None:
        if config is None:
            return
        done = None
        if 0 < config.size <= BATCH:
            keys = [f"{CHORD}{config.chord_id}:{index}" for index in range(config.size)]
            done = sum(raw is not None for raw in self._store.get(keys))
        part = config.part if member else None
        self._found.chords.append(Chord(config.chord_id, config.size, part, done))
