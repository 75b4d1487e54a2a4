"""The work of one round: the same tasks in the same order, whoever does them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

LOCK = "nightly-report"


@dataclass(frozen=True)
class Plan:
    """How many tasks of each kind."""

    locked: int
    revoked: int
    failing: int
    succeeding: int

    @classmethod
    def of(cls, tasks: int) -> Plan:
        """*tasks* in all, of which most meet the held lock."""
        revoked, failing, succeeding = tasks * 15 // 100, tasks * 10 // 100, tasks * 15 // 100
        return cls(tasks - revoked - failing - succeeding, revoked, failing, succeeding)

    @property
    def total(self) -> int:
        """The number of tasks of all kinds."""
        return sum(asdict(self).values())

    def order(self) -> list[str]:
        """The kind of each task, well mixed and always the same."""
        kinds = [kind for kind, count in asdict(self).items() for _ in range(count)]
        random.Random(0).shuffle(kinds)
        return kinds


Enqueued = dict[str, dict[str, int]]
"""For each kind its tasks: the argument of each task by its id."""


def declare(huey: Any) -> dict[str, Any]:
    """The task to call for each kind; whoever enqueues and whoever consumes declare the same."""

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
    """What a task that succeeds returns for *n*."""
    return n * 100 + 19


def enqueue(huey: Any, plan: Plan, advance: Callable[[int], None]) -> Enqueued:
    """Put all tasks of *plan* into the queue, and revoke by id those that are to be revoked."""
    tasks = declare(huey)
    enqueued: Enqueued = {kind: {} for kind in tasks}
    for n, kind in enumerate(plan.order()):
        task_id = tasks[kind](n).id
        enqueued[kind][task_id] = n
        if kind == "revoked":
            huey.revoke_by_id(task_id)
        advance(n + 1)
    return enqueued
