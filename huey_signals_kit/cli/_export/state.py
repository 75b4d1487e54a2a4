"""The figures of a queue that are read at each scrape, in a few small requests."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import timezone
from typing import Any

from ...ledger import Process, Snapshot
from ...metrics.gauges import STATES, WORKERS
from ...store import Reader, Unreadable


@dataclass(frozen=True)
class QueueState:
    """The queue and the schedule at one moment."""

    queued: int
    oldest: float
    """Seconds that the oldest message has been in the queue, at least."""
    scheduled: int
    overdue: float | None
    """Seconds since the most overdue message of the schedule was due; None if unknown."""
    last_sweep: float | None
    """Unix time of the end of the last sweep; None if none is known."""


def count_processes(snapshot: Snapshot) -> dict[tuple[str, str], int]:
    """Return the number of processes by kind of worker and state, zeros included."""
    counts: Counter[tuple[str, str]] = Counter()
    for process in snapshot.processes:
        worker = process.heartbeat.worker or "none"
        if process.gone and worker == "none":
            continue  # an application that ended without deleting its record
        counts[worker if worker in WORKERS else "other", _state(process)] += 1
    known = {(worker, state): counts[worker, state] for worker in WORKERS for state in STATES}
    return known | counts


def _state(process: Process) -> str:
    return {True: "alive", False: "dead", None: "unknown"}[process.alive]


def heartbeat_age(snapshot: Snapshot) -> float:
    """Return the greatest age of the last heartbeat of the processes that write them regularly.

    These are processes with workers or locks. The age is the time for which this process or another
    observer has seen the record unchanged, so clocks of two hosts are never compared.
    """
    ages = (
        max(process.unchanged, process.silent or 0.0)
        for process in snapshot.processes
        if process.alive is not False and (process.heartbeat.worker or process.heartbeat.locks)
    )
    return max(ages, default=0.0)


def running_since(snapshot: Snapshot) -> list[float]:
    """Return the start time of each running task, by the clock of its host."""
    return [
        task.since
        for process in snapshot.processes
        if process.alive is not False and not process.gone
        for task in process.heartbeat.running
    ]


def overdue_seconds(huey: Any, message: bytes | None) -> float | None:
    """Return for how long a message of the schedule has been due; None if unknown.

    Args:
        huey: The Huey.
        message: The message that is due first; None if the schedule is empty.
    """
    if message is None:
        return 0.0
    try:
        eta = Reader(huey).message(message).eta
    except Unreadable:
        return None
    if eta is None:
        return None
    if eta.tzinfo is None and huey.utc:  # without a zone it is UTC or local, as this option says
        eta = eta.replace(tzinfo=timezone.utc)
    return max(0.0, time.time() - eta.timestamp())
