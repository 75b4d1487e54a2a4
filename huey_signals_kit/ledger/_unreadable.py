"""What is in the way of knowing what runs, and who is dead."""

from __future__ import annotations

from ._record import Heartbeat


class UnreadableLedger(ValueError):
    """Records that no version of this package, or another one, has written."""


class OlderVersion(UnreadableLedger):
    """A process of version 0.1 lives, which judges by other rules who is dead."""


class UnknownTasks(UnreadableLedger):
    """A process has tasks in hand of which it cannot say what they lead to."""


def older_text(record: Heartbeat) -> str:
    """Say what a living process of version 0.1 is in the way of."""
    return (
        f"process {record.pid} on {record.host} runs huey-signals-kit 0.1, which takes a living "
        "process for dead by rules of its own: nothing is swept or released while it lives. Let "
        "all processes of this queue run one version"
    )


def unknown_text(number: int, where: str) -> str:
    """Say that *where* has tasks in hand that cannot be looked through."""
    tasks = "a task" if number == 1 else f"{number} tasks"
    return f"cannot tell what is running: {where} has {tasks} in hand that it cannot look through"
