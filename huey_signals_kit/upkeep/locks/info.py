"""What is known of locks, and what can go wrong with them."""

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
    """When it was taken, by the clock of the holder's host; None where nobody says."""
    task_id: str | None = None
    """The task that holds it; None where nobody says, or it was taken outside of a task."""
    task_name: str | None = None
    host: str | None = None
    pid: int | None = None
    alive: bool | None = None
    """Whether the holder's process lives; None where nobody says who holds it, or it cannot be
    told yet."""
    silent: float | None = None
    """Seconds for which the holder, on another host, has been silent while it was watched;
    None if no process has watched it."""
    skips: int = 0
    """How many tasks could not get it in about the last hour; names alike count as one."""
    slots: tuple[float, ...] = ()
    """Of a semaphore: for each slot that is taken, how many seconds ago it was taken or renewed."""
    unclaimed: bool = field(default=False, repr=False, compare=False)
    """Whether no process is known that might hold it."""
    settled: bool = field(default=True, repr=False, compare=False)
    """Whether `alive` was looked at for long enough to free the lock, or keep it."""
    doubt: str = field(default="", repr=False, compare=False)
    """Why the answer is not settled, and what would settle it."""
    raw: bytes = field(default=b"", repr=False, compare=False)
    """What stands in the store: only as long as that is so it is the same taking."""
    holder: Holder | None = field(default=None, repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
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
    """The lock was not released: its holder is alive, or may be.

    Also raised for semaphores, whose slots do not name their holders.
    """

    def __init__(self, queue: str, lock: LockInfo) -> None:
        self.lock = lock
        if lock.kind == "semaphore":
            super().__init__(_semaphore_stays(queue, lock))
            return
        task = f", by its task {lock.task_name} {lock.task_id}" if lock.task_id else ""
        who = "a process" if lock.pid is None else f"process {lock.pid} on {lock.host}"
        lives = (
            "which lives: end that process, or have the task free it"
            if lock.alive
            else f"which may be alive: {lock.doubt}"
        )
        super().__init__(
            f"the lock {lock.name!r} of {queue!r} is held by {who}{task}, {lives}. Where the lock "
            f"has to go all the same: huey.lock_task({lock.name!r}).clear()"
        )


def _semaphore_stays(queue: str, lock: LockInfo) -> str:
    key = f"{queue}.lock.{lock.name}"
    slots = "its slot" if len(lock.slots) == 1 else f"the last of its {len(lock.slots)} slots"
    return (
        f"{lock.name!r} of {queue!r} is a semaphore, whose slots do not name their holders, so "
        f"none is freed; {slots} was taken or renewed {min(lock.slots):.0f} s ago. "
        "Huey frees a slot itself when it is older than the timeout= of lock_task_semaphore (300 "
        "seconds by default, a day before Huey 3.5). If no task with a slot can be running: "
        f"huey.storage.conn.delete({key!r})"
    )
