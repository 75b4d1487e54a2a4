"""Choose a few processes that watch the other processes, each on another host."""

from __future__ import annotations

from collections.abc import Callable

from ..runtime.process_id import this_process
from ._failure_detector import OVERDUE_SECONDS
from ._lease import Lease

_MOST_WATCHERS = 3
"""More than one, in case a host fails; few, as each reads all records every few seconds."""


class WatchDuty:
    """The right of one process to watch the other processes.

    Args:
        lease: Makes a lease of the ledger, from a name and a number of seconds.
    """

    def __init__(self, lease: Callable[[str, float], Lease]) -> None:
        names = (f"watch {number}" for number in range(1, _MOST_WATCHERS + 1))
        self._leases = [lease(name, OVERDUE_SECONDS) for name in names]

    def acquire(self) -> bool:
        """Acquire or keep the right to watch; return whether this process has it.

        It has not if another process of this host, or of enough other hosts, has it.
        """
        mine = this_process()
        for lease in self._leases:
            if lease.acquire():
                return True
            holder = lease.holder
            if holder is not None and (holder.host, holder.pid_namespace) == (
                mine.host,
                mine.pid_namespace,
            ):
                return False
        return False

    def release(self) -> None:
        """Release the right, for another process."""
        for lease in self._leases:
            if lease.held:
                lease.release()
