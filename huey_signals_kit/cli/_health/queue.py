"""Judge whether a queue is worked on, by its storage and the operating system.

One read is often not enough. A process on another host is known to be alive only when it rewrites
its record, and messages in the queue are normal unless the same message stays at its head. So as
long as the answer is in doubt, the state is read again and compared with the first one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...ledger import HEARTBEAT_SECONDS, Ledger, Process
from ...runtime.process_id import is_stopped
from ...store import open_store
from ...upkeep.reports.problems import repeated_periodic, repeated_text
from .._shared.terminal import printable
from .._shared.wording import pluralize, verb
from .model import Health

HEARTBEAT_PATIENCE = HEARTBEAT_SECONDS + 2.0
"""Seconds within which a living process on another host rewrites its record."""
QUEUE_PATIENCE = 12.0
"""Seconds to wait for a message to be taken; by default an idle worker polls every 10."""
_POLL_SECONDS = 0.5
_NO_WORKER = ("", "scheduler")


@dataclass(frozen=True)
class QueueState:
    """The state of a queue at one moment."""

    workers: tuple[Process, ...]
    """Processes with workers."""
    unreadable: int
    """Records of processes that cannot be read."""
    waiting: int
    """Messages in the queue."""
    head: bytes | None
    """The message that a worker takes next; None if unknown."""
    warning: str = ""
    """A sentence about periodic tasks that run more than once; it makes no queue unhealthy."""


def read_state(huey: Any, ledger: Ledger) -> QueueState:
    """Read the state of the queue of `huey`, in two or three small requests."""
    snapshot, waiting, head = ledger.snapshot(), huey.storage.queue_size(), None
    if waiting:
        head = next(iter(open_store(huey).queue_ends()), None)
    workers = tuple(
        process for process in snapshot.processes if process.heartbeat.worker not in _NO_WORKER
    )
    repeated = repeated_periodic(snapshot.processes)
    warning = repeated_text(repeated) if repeated else ""
    return QueueState(workers, len(snapshot.unreadable), waiting, head, warning)


def judge_queue(
    queue: str,
    read: Callable[[], QueueState],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Health:
    """Judge a queue by reading its state, repeatedly while the answer is in doubt.

    Args:
        queue: The name of the queue.
        read: Returns the present state.
        clock: A monotonic clock, in seconds.
        sleep: Waits for a number of seconds.
    """
    started, first = clock(), read()
    state = first
    while True:
        waited = clock() - started
        alive = [process for process in state.workers if _is_alive(process, first)]
        in_doubt = [process for process in state.workers if process.alive is None]
        if not alive and (not in_doubt or waited >= HEARTBEAT_PATIENCE):
            return Health(False, _describe_no_worker(queue, state))
        if alive and not _is_stuck(state, first, alive):
            return Health(True, _describe_healthy(queue, state, len(alive)))
        if alive and waited >= QUEUE_PATIENCE:
            return Health(False, _describe_stuck(queue, state, len(alive), waited))
        sleep(_POLL_SECONDS)
        state = read()


def _is_alive(process: Process, first: QueueState) -> bool:
    """Return whether `process` runs here, or has written a heartbeat since the first read."""
    heartbeat = process.heartbeat
    if process.alive is False or _is_stopped_here(process):
        return False
    before = {worker.heartbeat.id: worker.heartbeat.sequence for worker in first.workers}
    return bool(process.alive) or before.get(heartbeat.id, -1) != heartbeat.sequence


def _is_stopped_here(process: Process) -> bool:
    return process.heartbeat.process.is_alive() is True and is_stopped(process.heartbeat.pid)


def _is_stuck(state: QueueState, first: QueueState, alive: list[Process]) -> bool:
    """Return whether messages wait, and there is no sign that any is taken."""
    is_busy = any(process.heartbeat.running or process.heartbeat.unread for process in alive)
    is_same_head = state.head is not None and state.head == first.head
    return bool(state.waiting) and not is_busy and is_same_head


def _describe_healthy(queue: str, state: QueueState, alive: int) -> str:
    messages = pluralize(state.waiting, "message") if state.waiting else "no message"
    wait = verb(state.waiting or 1, "wait")
    workers = f"{pluralize(alive, 'process')} {verb(alive, 'work')}"
    warning = f"; but {printable(state.warning)}" if state.warning else ""
    return f"{workers} on the queue {printable(queue)!r}, {messages} {wait}{warning}"


def _describe_no_worker(queue: str, state: QueueState) -> str:
    problem = f"no process is known to work on the queue {printable(queue)!r}"
    if state.waiting:
        problem += f", which has {pluralize(state.waiting, 'message')}"
    if state.workers:
        return f"{problem}: {', '.join(map(_describe_process, state.workers[:5]))}"
    unreadable = f"; {pluralize(state.unreadable, 'record')} of the ledger cannot be read"
    return (
        f"{problem}: no consumer with the kit has written a record"
        f"{unreadable if state.unreadable else ''}. Start a consumer, or install the kit in it"
    )


def _describe_process(process: Process) -> str:
    heartbeat = process.heartbeat
    name = f"process {heartbeat.pid} on {printable(heartbeat.host)}"
    if process.alive is False:
        return f"{name} is dead"
    if _is_stopped_here(process):
        return f"{name} is stopped (kill -CONT {heartbeat.pid} resumes it)"
    return f"{name} has been silent for {HEARTBEAT_PATIENCE:.0f} s"


def _describe_stuck(queue: str, state: QueueState, alive: int, waited: float) -> str:
    messages = f"{pluralize(state.waiting, 'message')} {verb(state.waiting, 'wait')}"
    return (
        f"{messages} in the queue {printable(queue)!r}, and none was taken for {waited:.0f} s, "
        f"although {pluralize(alive, 'process')} with workers {verb(alive, 'are')} alive and "
        "without a task"
    )
