"""The description of a lock, and the error for a lock that was not released."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ...locks.holder import Holder


@dataclass(frozen=True)
class LockInfo:
    """One lock, or a semaphore with all of its slots."""

    name: str
    kind: str = "lock"
    """``"lock"`` or ``"semaphore"``."""
    since: datetime | None = None
    """When it was acquired, by the clock of the holder's host; None if unknown."""
    task_id: str | None = None
    """The id of the task that holds it; None if unknown, or acquired outside of a task."""
    task_name: str | None = None
    """The name of that task."""
    host: str | None = None
    """The host of the holder's process; None if unknown."""
    pid: int | None = None
    """The process id of the holder; None if unknown."""
    alive: bool | None = None
    """Whether the holder's process is alive; None if the holder is unknown or in doubt."""
    silent: float | None = None
    """Seconds for which the holder, on another host, has been silent while it was observed;
    None if no process has observed it."""
    skips: int = 0
    """The number of tasks that were skipped because of it in about the last hour. Locks with the
    same folded name count together."""
    slots: tuple[float, ...] = ()
    """For each acquired slot of a semaphore, the seconds since it was acquired or renewed."""
    is_unclaimed: bool = field(default=False, repr=False, compare=False)
    """Whether no process is known that may hold it."""
    is_settled: bool = field(default=True, repr=False, compare=False)
    """Whether `alive` is certain enough to release the lock, or to leave it alone."""
    doubt: str = field(default="", repr=False, compare=False)
    """The reason why `alive` is not settled, and what would settle it."""
    raw: bytes = field(default=b"", repr=False, compare=False)
    """The stored value, which is different for each acquisition."""
    holder: Holder | None = field(default=None, repr=False, compare=False)
    """The holder that the value names, if it names one."""

    def as_dict(self) -> dict[str, Any]:
        """Return the lock as plain values for JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "since": None if self.since is None else self.since.isoformat(timespec="seconds"),
            "task_id": self.task_id,
            "task_name": self.task_name,
            "host": self.host,
            "pid": self.pid,
            "alive": self.alive,
            "silent": self.silent,
            "skips": self.skips,
            "slots": list(self.slots),
        }


class LockHeld(RuntimeError):
    """The error for a lock that was not released, because its holder is alive or in doubt.

    Also raised for semaphores, whose slots do not name their holders.

    Args:
        queue: The name of the Huey.
        lock: The lock.
    """

    def __init__(self, queue: str, lock: LockInfo) -> None:
        self.lock = lock
        if lock.kind == "semaphore":
            super().__init__(_semaphore_text(queue, lock))
            return
        task = f", by its task {lock.task_name} {lock.task_id}" if lock.task_id else ""
        holder = "a process" if lock.pid is None else f"process {lock.pid} on {lock.host}"
        state = (
            "which is alive: end that process, or let the task release the lock"
            if lock.alive
            else f"which may be alive: {lock.doubt}"
        )
        super().__init__(
            f"the lock {lock.name!r} of {queue!r} is held by {holder}{task}, {state}. To release "
            f"it in any case: huey.lock_task({lock.name!r}).clear()"
        )


def _semaphore_text(queue: str, lock: LockInfo) -> str:
    key = f"{queue}.lock.{lock.name}"
    slots = "its slot" if len(lock.slots) == 1 else f"the last of its {len(lock.slots)} slots"
    return (
        f"{lock.name!r} of {queue!r} is a semaphore, whose slots do not name their holders, so "
        f"none is released; {slots} was acquired or renewed {min(lock.slots):.0f} s ago. "
        "Huey releases a slot itself when it is older than timeout= of lock_task_semaphore (300 "
        "seconds by default, a day before Huey 3.5). If no task with a slot can be running: "
        f"huey.storage.conn.delete({key!r})"
    )
