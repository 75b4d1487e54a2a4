"""What this process has in hand, from what Huey and a kit have noted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..store import Reader, Unreadable, ids_in_plain
from .claims import READING, ClaimedMessage, in_flight_of

MOST_IDS = 20_000
"""Ids of one task in hand that are told every few seconds."""

READING_SECONDS = 2.0
"""How long a schedule that is being read is waited for."""


@dataclass(frozen=True)
class Running:
    """A task that a process is running."""

    task_id: str
    task_name: str
    since: float
    """When a heartbeat first found it running, by that host's clock."""
    nested: tuple[str, ...] = ()
    """The ids of its pipeline, error handlers and chord callbacks, at any depth."""


@dataclass(frozen=True)
class TaskIds:
    """What is known of one task in hand."""

    task_id: str
    task_name: str
    ids: frozenset[str]
    """Its own, those of all that is nested in it, and what looks like one in its arguments."""


class RunningTasks:
    """The tasks that one Huey has in hand in this process."""

    def __init__(self, huey: Any, clock: Callable[[], float] = time.time) -> None:
        self._huey = huey
        self._clock = clock
        # With what it is about, so that nothing else has its id meanwhile.
        self._since: dict[int, tuple[Any, float]] = {}

    def __call__(self) -> tuple[tuple[Running, ...], int]:
        """Those of workers, each with when a call first found it; and how many cannot be told."""
        now, before, found, unread = self._clock(), self._since, [], 0
        self._since = {}
        for held, known in claimed_tasks(self._huey):
            since = before.get(id(held), (held, now))
            self._since[id(held)] = since
            if known is None:
                unread += 1
            else:
                others = tuple(sorted(known.ids - {known.task_id}))
                found.append(Running(known.task_id, known.task_name, since[1], others))
        return tuple(found), unread


def claimed_tasks(huey: Any) -> Iterator[tuple[Any, TaskIds | None]]:
    """Each message that a worker has in hand, and each task that runs without one.

    With what is known of it: None if it cannot be told what it leads to.
    """
    noted = set()
    for claim, task in in_flight_of(huey).claimed():
        noted.add(id(task))
        yield claim, _ids_of_claim(huey, claim, task)
    for task in huey._tasks_in_flight.copy():
        if id(task) not in noted:
            yield task, in_task(task)


def _ids_of_claim(huey: Any, claim: ClaimedMessage, task: Any) -> TaskIds | None:
    raw, reader = claim.raw, Reader(huey)
    if raw is None or reader.is_trusted:  # that serializer is nobody's to call but Huey's
        return None if task is READING else in_task(task)
    parsed = claim.parsed = claim.parsed or _parse(reader, raw)
    if not isinstance(parsed, TaskIds) or task is READING:
        return parsed if isinstance(parsed, TaskIds) else None
    try:
        return replace(parsed, ids=parsed.ids.union(_nested(task)))  # hooks may have added to it
    except Exception:
        return None


def _parse(reader: Reader, raw: bytes) -> TaskIds | str:
    try:
        message = reader.message(raw)
    except Unreadable as exc:
        return str(exc)
    if len(message.ids) > MOST_IDS:
        return f"more than {MOST_IDS:,} ids"
    return TaskIds(message.id, message.name, message.ids)


def in_task(task: Any) -> TaskIds | None:
    """The same by the task itself, which may be of any class of the user's."""
    try:
        nested = _nested(task)
        ids = ids_in_plain([getattr(task, "args", None), getattr(task, "kwargs", None)])
        name = f"{type(task).__module__}.{type(task).__name__}"
        if len(ids) > MOST_IDS:
            return None
        return TaskIds(str(task.id), name, frozenset(ids.union(nested)))
    except Exception:
        return None


def pending_ids(huey: Any) -> tuple[set[str], int]:
    """The ids of tasks that were due, which the scheduler is about to enqueue, and of others
    that no worker runs and somebody still has.

    And how many of these tasks cannot be told what they lead to. A schedule that is being read
    is waited for, but not for long.
    """
    in_flight = in_flight_of(huey)
    read = in_flight.reading.acquire(timeout=READING_SECONDS)
    try:
        due_tasks = list(in_flight.due_tasks)
    finally:
        if read:
            in_flight.reading.release()
    known = [in_task(task) for task in due_tasks]
    still_referenced = [(claim, claim.task_ref()) for claim in in_flight.prune()]
    known += [
        _ids_of_claim(huey, claim, task) for claim, task in still_referenced if task is not None
    ]
    ids = {each for one in known if one for each in one.ids}
    return ids, known.count(None) + (not read)


def has_worker(huey: Any) -> bool:
    """Whether this process has a worker of *huey*, as far as can be known."""
    if in_flight_of(huey).has_worker:
        return True
    return not huey.immediate and bool(huey._tasks_in_flight or in_flight_of(huey).claimed())


def in_flight_ids(huey: Any) -> tuple[set[str], int]:
    """Every id that this process has in hand, and how many tasks it cannot tell any of."""
    # Due ones first: from there they go to where workers take them.
    found, unread = pending_ids(huey)
    for _, known in claimed_tasks(huey):
        if known is None:
            unread += 1
        else:
            found |= known.ids
    return found, unread


def _nested(task: Any) -> set[str]:
    """The id of *task* and of every task that is nested in it, at any depth."""
    found: set[str] = set()
    seen: set[int] = set()
    rest = [task]
    while rest:
        each = rest.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        found.add(str(each.id))
        chord = getattr(each, "chord_config", None)
        rest += [
            getattr(each, "on_complete", None),
            getattr(each, "on_error", None),
            getattr(chord, "callback", None),
        ]
    return found
