"""What a round has left behind, measured in the store itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from huey.utils import Error

from .tally import Done
from .work import Enqueued, invoice


@dataclass(frozen=True)
class Figures:
    """One round in numbers.

    ``results``: right values of tasks that succeeded. ``bytes``: keys and values of the
    result store. ``tasks_per_second``: from the end of the first task to that of the last.
    """

    tasks: int
    results: int
    real_errors: int
    lock_errors: int
    tokens: int
    bytes: int
    tasks_per_second: float


def measure(huey: Any, enqueued: Enqueued, done: Done) -> Figures:
    """Read the whole store of *huey*, when nobody is at work on it."""
    items = {_text(key): value for key, value in huey.storage.result_items().items()}
    values = {
        key: huey.serializer.deserialize(value)
        for key, value in items.items()
        if any(key in ids for ids in enqueued.values())
    }
    ended = sum(done.kinds.values())
    return Figures(
        tasks=ended,
        results=sum(values.get(key) == invoice(n) for key, n in enqueued["succeeding"].items()),
        real_errors=_count_errors(values, enqueued["failing"], "ValueError"),
        lock_errors=_count_errors(values, enqueued["locked"], "TaskLockedException"),
        tokens=sum(f"r:{task_id}" in items for task_id in enqueued["revoked"]),
        bytes=sum(len(key.encode()) + len(value) for key, value in items.items()),
        tasks_per_second=round((ended - 1) / done.seconds, 1),
    )


def _count_errors(values: dict[str, Any], ids: dict[str, int], name: str) -> int:
    found = (values.get(task_id) for task_id in ids)
    return sum(isinstance(each, Error) and name in each.metadata["error"] for each in found)


def _text(key: str | bytes) -> str:
    return key.decode() if isinstance(key, bytes) else key
