"""Read which tasks this process has in flight, and every task id that they lead to.

A task leads to the tasks nested in it, at any depth: later pipeline stages, ``on_error`` tasks, the
callback of its chord. It may also pass an id in its arguments to code that enqueues that task. All
of these ids keep their tokens alive. A task whose message cannot be read leads to unknown ids. It
is counted as *unread*, and while there is one, nothing is deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..huey_internals.django_tasks import name_in_message, task_name
from ..store import Reader, Unreadable, ids_in_plain
from .claims import DESERIALIZING, ClaimedMessage, in_flight_of

MAX_IDS = 20_000
"""Number of ids of one task that a heartbeat carries; a task with more counts as unread."""

READING_SECONDS = 2.0
"""Seconds to wait while Huey's scheduler is reading the schedule."""


@dataclass(frozen=True)
class RunningTask:
    """A task that a process is running."""

    task_id: str
    task_name: str
    since: float
    """When a heartbeat first found the task running, by the clock of that host."""
    nested: tuple[str, ...] = ()
    """All other ids that the task leads to, see `TaskIds.ids`."""


@dataclass(frozen=True)
class TaskIds:
    """The ids that one task in flight leads to."""

    task_id: str
    task_name: str
    ids: frozenset[str]
    """Its own id, those of nested tasks, and every string in its arguments that looks like one."""


class RunningTasks:
    """The tasks of one Huey that this process runs, with the time since when.

    Args:
        huey: The Huey.
        clock: Returns the time that other hosts are shown.
    """

    def __init__(self, huey: Any, clock: Callable[[], float] = time.time) -> None:
        self._huey = huey
        self._clock = clock
        # With the object itself, so that no other object gets its identity.
        self._since: dict[int, tuple[Any, float]] = {}

    def __call__(self) -> tuple[tuple[RunningTask, ...], int]:
        """Return the running tasks, and how many more are unread."""
        now, before, running, unread = self._clock(), self._since, [], 0
        self._since = {}
        for owner, task_ids in claimed_tasks(self._huey):
            since = before.get(id(owner), (owner, now))
            self._since[id(owner)] = since
            if task_ids is None:
                unread += 1
            else:
                nested = tuple(sorted(task_ids.ids - {task_ids.task_id}))
                running.append(RunningTask(task_ids.task_id, task_ids.task_name, since[1], nested))
        return tuple(running), unread


def claimed_tasks(huey: Any) -> Iterator[tuple[Any, TaskIds | None]]:
    """Yield each dequeued message, and each task that runs without one, with its ids.

    A task runs without a message in immediate mode, or if it is executed directly. The ids are None
    if the task is unread.
    """
    claimed = set()
    for claim, task in in_flight_of(huey).claimed():
        claimed.add(id(task))
        yield claim, _ids_of_claim(huey, claim, task)
    for task in huey._tasks_in_flight.copy():
        if id(task) not in claimed:
            yield task, _ids_of_task(task)


def _ids_of_claim(huey: Any, claim: ClaimedMessage, task: Any) -> TaskIds | None:
    """Return the ids of a dequeued message, or None if it is unread.

    The message is read safely, without calling foreign code, and once; what hooks have added to the
    task object since is read from the object.
    """
    raw, reader = claim.raw, Reader(huey)
    # A serializer of the user's own is called by Huey alone.
    if raw is None or reader.is_trusted:
        return None if task is DESERIALIZING else _ids_of_task(task)
    parsed = claim.parsed = claim.parsed or _parse(reader, raw)
    if not isinstance(parsed, TaskIds) or task is DESERIALIZING:
        return parsed if isinstance(parsed, TaskIds) else None
    try:
        return replace(parsed, ids=parsed.ids.union(_nested(task)))  # hooks may have added to it
    except Exception:
        return None


def _parse(reader: Reader, raw: bytes) -> TaskIds | str:
    """Return the ids in a message, or why it is unread."""
    try:
        message = reader.message(raw)
    except Unreadable as exc:
        return str(exc)
    if len(message.ids) > MAX_IDS:
        return f"more than {MAX_IDS:,} ids"
    return TaskIds(message.id, name_in_message(message.fields), message.ids)


def _ids_of_task(task: Any) -> TaskIds | None:
    """Return the ids in a task object, or None; its class may be the user's and may raise."""
    try:
        nested = _nested(task)
        ids = ids_in_plain([getattr(task, "args", None), getattr(task, "kwargs", None)])
        if len(ids) > MAX_IDS:
            return None
        return TaskIds(str(task.id), task_name(task), frozenset(ids.union(nested)))
    except Exception:
        return None


def pending_ids(huey: Any) -> tuple[set[str], int]:
    """Return the ids of tasks that are stored nowhere and not running, and how many are unread.

    They are due tasks, which Huey's scheduler is about to enqueue, and tasks of earlier messages
    that other code still references. While the scheduler reads the schedule this function waits, up
    to `READING_SECONDS`; if that is not enough, the schedule counts as one unread task.
    """
    in_flight = in_flight_of(huey)
    acquired = in_flight.reading.acquire(timeout=READING_SECONDS)
    try:
        due_tasks = list(in_flight.due_tasks)
    finally:
        if acquired:
            in_flight.reading.release()
    pending = [_ids_of_task(task) for task in due_tasks]
    earlier = [(claim, claim.task_ref()) for claim in in_flight.prune()]
    pending += [_ids_of_claim(huey, claim, task) for claim, task in earlier if task is not None]
    ids = {id_ for task_ids in pending if task_ids for id_ in task_ids.ids}
    return ids, pending.count(None) + (not acquired)


def has_worker(huey: Any) -> bool:
    """Return whether this process has a worker of `huey`, as far as can be known."""
    if in_flight_of(huey).has_worker:
        return True
    return not huey.immediate and bool(huey._tasks_in_flight or in_flight_of(huey).claimed())


def in_flight_ids(huey: Any) -> tuple[set[str], int]:
    """Return every id that this process has in flight, and how many tasks are unread."""
    # Due tasks first: they move from there to the queue and to the workers, never back.
    ids, unread = pending_ids(huey)
    for _, task_ids in claimed_tasks(huey):
        if task_ids is None:
            unread += 1
        else:
            ids |= task_ids.ids
    return ids, unread


def _nested(task: Any) -> set[str]:
    """Return the ids of `task` and of every task that is nested in it, at any depth."""
    ids: set[str] = set()
    seen: set[int] = set()
    stack = [task]
    while stack:
        nested = stack.pop()
        if nested is None or id(nested) in seen:
            continue
        seen.add(id(nested))
        ids.add(str(nested.id))
        chord = getattr(nested, "chord_config", None)
        stack += [
            getattr(nested, "on_complete", None),
            getattr(nested, "on_error", None),
            getattr(chord, "callback", None),
        ]
    return ids
