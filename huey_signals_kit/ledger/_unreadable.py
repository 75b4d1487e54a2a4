"""Errors for a ledger that does not tell which tasks run, or which processes are dead."""

from __future__ import annotations

from ._record import Heartbeat


class UnreadableLedger(ValueError):
    """Records that this version of the package cannot read."""


class OlderVersion(UnreadableLedger):
    """A process of version 0.1 may be alive, which declares processes dead by other rules."""


class UnknownTasks(UnreadableLedger):
    """A process has tasks in flight whose contents cannot be read."""


def older_text(record: Heartbeat) -> str:
    """Return the message about a process of version 0.1 that may be alive."""
    return (
        f"process {record.pid} on {record.host} runs huey-signals-kit 0.1, which declares "
        "processes dead by other rules: nothing is swept or released while it is alive. Run one "
        "version in all processes of this queue"
    )


def unknown_text(number: int, where: str) -> str:
    """Return the message that a process has tasks in flight that cannot be read.

    Args:
        number: How many tasks.
        where: The process.
    """
    tasks = "a task" if number == 1 else f"{number} tasks"
    return f"cannot tell what is running: {where} has {tasks} in flight that cannot be read"
