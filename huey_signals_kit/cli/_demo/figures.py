"""What a round has left behind, measured in the store itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from huey.utils import Error

from .tally import EndedTasks
from .work import Enqueued, invoice


@dataclass(frozen=True)
class Figures:
    """The numbers of one round. The fields are those of the JSON output."""

    tasks: int
    """Tasks that ended, of all kinds."""
    results: int
    """Right results of tasks that succeeded."""
    real_errors: int
    """Stored errors that are not lock errors."""
    lock_errors: int
    """Stored lock errors."""
    tokens: int
    """Revoke tokens left."""
    bytes: int
    """Size of the result store, keys and values."""
    tasks_per_second: float
    """Between the end of the first task and the end of the last."""


def measure(huey: Any, enqueued: Enqueued, ended: EndedTasks) -> Figures:
    """Read the whole store and return the figures of a round.

    Args:
        huey: The Huey; no consumer may be running.
        enqueued: The tasks of the round.
        ended: How many tasks ended, and in how many seconds.
    """
    items = {_as_text(key): value for key, value in huey.storage.result_items().items()}
    values = {
        key: huey.serializer.deserialize(value)
        for key, value in items.items()
        if any(key in ids for ids in enqueued.values())
    }
    total = sum(ended.kinds.values())
    return Figures(
        tasks=total,
        results=sum(values.get(key) == invoice(n) for key, n in enqueued["succeeding"].items()),
        real_errors=_count_errors(values, enqueued["failing"], "ValueError"),
        lock_errors=_count_errors(values, enqueued["locked"], "TaskLockedException"),
        tokens=sum(f"r:{task_id}" in items for task_id in enqueued["revoked"]),
        bytes=sum(len(key.encode()) + len(value) for key, value in items.items()),
        tasks_per_second=round((total - 1) / ended.seconds, 1),
    )


def _count_errors(values: dict[str, Any], ids: dict[str, int], name: str) -> int:
    """Return how many of the tasks `ids` have an error of the class `name` as their result."""
    results = (values.get(task_id) for task_id in ids)
    return sum(isinstance(value, Error) and name in value.metadata["error"] for value in results)


def _as_text(key: str | bytes) -> str:
    return key.decode() if isinstance(key, bytes) else key
