"""Judge whether a queue is worked on, by the storage and the operating system."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...ledger import HEARTBEAT_SECONDS, Ledger, Process
from ...runtime.process_id import is_stopped
from .._shared.tables import counted
from .._shared.terminal import shown
from .model import Health

BEAT_PATIENCE = HEARTBEAT_SECONDS + 2.0
"""Seconds within which a living process on another host rewrites its record."""
QUEUE_PATIENCE = 12.0
"""Seconds to wait for a message to be taken; by default an idle worker polls every 10."""
_POLL_SECONDS = 0.5
_NO_WORKER = ("", "scheduler")


@dataclass(frozen=True)
class Reading:
    """The state of a queue at one moment."""

    workers: tuple[Process, ...]
    """Processes with workers."""
    unreadable: int
    waiting: int
    """Messages in the queue."""
    head: bytes | None
    """The message that a worker takes next; None if unknown."""


def read(huey: Any, ledger: Ledger) -> Reading:
    """Read the state of the queue of *huey*, in two or three small requests."""
    look, waiting, head = ledger.snapshot(), huey.storage.queue_size(), None
    if waiting:
        head = next(iter(huey.storage.enqueued_items(limit=1)), None)
    workers = tuple(p for p in look.processes if p.heartbeat.worker not in _NO_WORKER)
    return Reading(workers, len(look.unreadable), waiting, head)


def judge_queue(
    queue: str,
    look: Callable[[], Reading],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Health:
    """Judge a queue by reading its state, repeatedly while the answer is in doubt.

    Args:
        queue: The name of the queue.
        look: Returns a new `Reading`.
        clock: A monotonic clock, in seconds.
        sleep: Waits for a number of seconds.
    """
    began, first = clock(), look()
    reading = first
    while True:
        waited = clock() - began
        alive = [each for each in reading.workers if _is_alive(each, first)]
        doubtful = [each for each in reading.workers if each.alive is None]
        if not alive and (not doubtful or waited >= BEAT_PATIENCE):
            return Health(False, _nobody(queue, reading))
        if alive and not _is_stuck(reading, first, alive):
            return Health(True, _all_well(queue, reading, len(alive)))
        if alive and waited >= QUEUE_PATIENCE:
            return Health(False, _stuck(queue, reading, len(alive), waited))
        sleep(_POLL_SECONDS)
        reading = look()


def _is_alive(process: Process, first: Reading) -> bool:
    beat = process.heartbeat
    if process.alive is False or _is_stopped_here(process):
        return False
    before = {each.heartbeat.id: each.heartbeat.sequence for each in first.workers}
    return bool(process.alive) or before.get(beat.id, -1) != beat.sequence


def _is_stopped_here(process: Process) -> bool:
    return process.heartbeat.process.is_alive() is True and is_stopped(process.heartbeat.pid)


def _is_stuck(reading: Reading, first: Reading, alive: list[Process]) -> bool:
    """Return whether messages wait, and there is no sign that any is taken."""
    busy = any(each.heartbeat.running or each.heartbeat.unread for each in alive)
    same = reading.head is not None and reading.head == first.head
    return bool(reading.waiting) and not busy and same


def _all_well(queue: str, reading: Reading, alive: int) -> str:
    verb = "works" if alive == 1 else "work"
    wait = "waits" if reading.waiting in (0, 1) else "wait"
    messages = f"{counted(reading.waiting, 'message') if reading.waiting else 'no message'} {wait}"
    return f"{counted(alive, 'process')} {verb} on the queue {shown(queue)!r}, {messages}"


def _nobody(queue: str, reading: Reading) -> str:
    said = f"no process is known to work on the queue {shown(queue)!r}"
    if reading.waiting:
        said = f"{counted(reading.waiting, 'message')} in it, and {said}"
    if reading.workers:
        states = ", ".join(map(_state, reading.workers[:5]))
        return f"{said}: {states}"
    unread = f"; {counted(reading.unreadable, 'record')} of the ledger cannot be read"
    return (
        f"{said}: no consumer with the kit has written a record"
        f"{unread if reading.unreadable else ''}. Start a consumer, or install the kit in it"
    )


def _state(process: Process) -> str:
    beat = process.heartbeat
    who = f"process {beat.pid} on {shown(beat.host)}"
    if process.alive is False:
        return f"{who} is dead"
    if _is_stopped_here(process):
        return f"{who} is stopped (kill -CONT {beat.pid} resumes it)"
    return f"{who} has been silent for {BEAT_PATIENCE:.0f} s"


def _stuck(queue: str, reading: Reading, alive: int, waited: float) -> str:
    wait = "waits" if reading.waiting == 1 else "wait"
    verb = "is" if alive == 1 else "are"
    return (
        f"{counted(reading.waiting, 'message')} {wait} in the queue {shown(queue)!r}, and none was "
        f"taken for {waited:.0f} s, although {counted(alive, 'process')} with workers {verb} alive "
        "and without a task"
    )
