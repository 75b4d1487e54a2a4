"""The work of one round: the same tasks in the same order in both rounds."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

LOCK = "nightly-report"


@dataclass(frozen=True)
class Plan:
    """Numbers of tasks by kind. The fields are those of the JSON output."""

    locked: int
    revoked: int
    failing: int
    succeeding: int

    @classmethod
    def for_tasks(cls, tasks: int) -> Plan:
        """Return a plan for `tasks` tasks, most of which need a lock that is held."""
        revoked, failing, succeeding = tasks * 15 // 100, tasks * 10 // 100, tasks * 15 // 100
        return cls(tasks - revoked - failing - succeeding, revoked, failing, succeeding)

    @property
    def total(self) -> int:
        """The number of tasks of all kinds."""
        return sum(asdict(self).values())

    def kinds_in_order(self) -> list[str]:
        """Return the kind of each task, well mixed and in the same order each time."""
        kinds = [kind for kind, count in asdict(self).items() for _ in range(count)]
        random.Random(0).shuffle(kinds)
        return kinds


Enqueued = dict[str, dict[str, int]]
"""The tasks of each kind: the id of each task and its argument."""


def declare_tasks(huey: Any) -> dict[str, Any]:
    """Declare the tasks, in the demo and in its consumer; return the one to call for each kind."""

    def write_report(n: int) -> int:
        with huey.lock_task(LOCK):
            return n

    def charge_customer(n: int) -> int:
        raise ValueError(f"customer {n} has no account")

    def send_invoice(n: int) -> int:
        return invoice(n)

    send = huey.task()(send_invoice)
    return {
        "locked": huey.task()(write_report),
        "revoked": send,
        "failing": huey.task()(charge_customer),
        "succeeding": send,
    }


def invoice(n: int) -> int:
    """Return the result of a task that succeeds with the argument `n`."""
    return n * 100 + 19


def enqueue_all(huey: Any, plan: Plan, on_progress: Callable[[int], None]) -> Enqueued:
    """Enqueue all tasks of `plan`, and revoke by id those that are planned to be revoked.

    Args:
        huey: The Huey.
        plan: The tasks.
        on_progress: Called with the number of tasks enqueued so far.
    """
    tasks = declare_tasks(huey)
    enqueued: Enqueued = {kind: {} for kind in tasks}
    for n, kind in enumerate(plan.kinds_in_order()):
        task_id = tasks[kind](n).id
        enqueued[kind][task_id] = n
        if kind == "revoked":
            huey.revoke_by_id(task_id)
        on_progress(n + 1)
    return enqueued
