"""Records that make the ledger unsafe to act on: unreadable ones, and those of version 0.1.

Version 0.1 takes a process for dead when its freshness key is missing, or after 15 seconds without
a heartbeat. A process of this version that is suspended for a moment would lose its locks to it. So
while a process of 0.1 may be alive, this version sweeps nothing and releases nothing, and says so.
"""

from __future__ import annotations

from typing import Any

from ..store import REDIS, family_of, open_store
from ._backend import PREFIX, PROCESS
from ._record import Heartbeat, try_load


class UnreadableLedger(ValueError):
    """A record that this version of the package cannot read."""


class OlderVersion(UnreadableLedger):
    """A process of version 0.1 that may be alive, and declares processes dead by other rules."""


class UnknownTasks(UnreadableLedger):
    """A process with tasks in flight whose contents cannot be read."""


def older_records(huey: Any) -> list[Heartbeat]:
    """Return the records that version 0.1 left among the results, unless their process is dead.

    On Redis both versions store records in the same hash, so there are none to find.
    """
    family = family_of(huey.storage)
    if family is not None and family.name in REDIS:
        return []
    batches = open_store(huey).entries(PREFIX + PROCESS)
    records = (try_load(entry.value) for batch in batches for entry in batch)
    return [
        record
        for record in records
        if record is not None
        and not record.sealed
        and not record.stale_after
        and record.process.is_alive() is not False
    ]


def older_text(record: Heartbeat) -> str:
    """Return the message about a process of version 0.1 that may be alive."""
    return (
        f"process {record.pid} on {record.host} runs huey-signals-kit 0.1, which declares "
        "processes dead by other rules: nothing is swept or released while it is alive. Run one "
        "version in all processes of this queue"
    )


def unknown_text(number: int, process: str) -> str:
    """Return the message that a process has tasks in flight that cannot be read.

    Args:
        number: The number of tasks.
        process: The process, in words.
    """
    tasks = "a task" if number == 1 else f"{number} tasks"
    return f"cannot tell what is running: {process} has {tasks} in flight that cannot be read"
