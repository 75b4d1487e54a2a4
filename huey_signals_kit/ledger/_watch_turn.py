"""Choose the processes that watch the others: a few, each on another host."""

from __future__ import annotations

from collections.abc import Callable

from .._place import here
from ._lease import Lease
from ._watch import OVERDUE_SECONDS

_MOST_WATCHERS = 3
"""Enough that one is left when a host fails; each reads all records every few seconds."""


class WatchTurn:
    """One process's turn to watch the others.

    Args:
        lease: Makes a lease of the ledger, of a name and a number of seconds.
    """

    def __init__(self, lease: Callable[[str, float], Lease]) -> None:
        names = (f"watch {number}" for number in range(1, _MOST_WATCHERS + 1))
        self._leases = [lease(name, OVERDUE_SECONDS) for name in names]

    def acquire(self) -> bool:
        """Take or keep a turn. Return False where a process of this host, or enough others, do."""
        mine = here()
        for lease in self._leases:
            if lease.acquire():
                return True
            holder = lease.holder
            if holder is not None and (holder.host, holder.space) == (mine.host, mine.space):
                return False
        return False

    def release(self) -> None:
        """Let another process have the turn."""
        for lease in self._leases:
            if lease.held:
                lease.release()
