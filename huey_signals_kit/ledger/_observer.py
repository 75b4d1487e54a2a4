"""Observe the other processes of a queue, to measure how long they have been silent.

Two kinds of processes do this. A few consumers do it all the time: `ObserverLease` chooses them. A
command that is about to release locks does it for its own duration, as an `Observer`, unless the
notes of the consumers say enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from uuid import uuid4

from ..runtime.process_id import INCARNATION, this_process
from ._failure_detector import HEARTBEAT_SECONDS, OVERDUE_SECONDS, FailureDetector
from ._lease import Lease
from ._ledger import Ledger
from ._record import Heartbeat

_MAX_OBSERVERS = 3
"""More than one, in case a host fails; few, as each reads all records every few seconds."""


class ObserverLease:
    """The right of one process to observe the others, which at most three hosts have.

    It is one of a few leases of the ledger. Processes of one host need only one observer: the
    others of that host are judged by the operating system, and a host that is cut off is so for all
    of them.

    Args:
        lease: Makes a lease of the ledger, from a name and a number of seconds.
    """

    def __init__(self, lease: Callable[[str, float], Lease]) -> None:
        names = (f"watch {number}" for number in range(1, _MAX_OBSERVERS + 1))
        self._leases = [lease(name, OVERDUE_SECONDS) for name in names]

    def acquire(self, take_over: bool = False) -> bool:
        """Acquire or renew a lease; return whether this process may observe.

        It may not if another process of this host, or of enough other hosts, does.

        Args:
            take_over: Take the place of a process without priority, if this one has priority.
        """
        own = this_process()
        for lease in self._leases:
            if lease.acquire():
                return True
            holder = lease.holder
            if holder is not None and (holder.host, holder.pid_namespace) == (
                own.host,
                own.pid_namespace,
            ):
                break
        return lease.acquire(take_over) if take_over else False

    def release(self) -> None:
        """Release the lease, so that another process acquires it."""
        for lease in self._leases:
            if lease.held:
                lease.release()


class Observer:
    """An observer in a process without heartbeats, with a record of its own.

    The record is what makes its measurements valid: silence counts only between two of the
    observer's own successful writes.

    Args:
        ledger: The ledger that the record is written to.
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._record = Heartbeat(
            uuid4().hex, this_process(), started=time.time(), incarnation=INCARNATION
        )
        self.detector = FailureDetector(clock)
        self._due = clock()
        self.failures = 0
        """Number of failed writes of the record in a row."""
        self.error: Exception | None = None
        """The exception of the last failed write."""

    def step(self) -> None:
        """Write the record if it is due; must be called every few seconds."""
        if self._clock() < self._due:
            return
        self._due = self._clock() + HEARTBEAT_SECONDS
        try:
            self._ledger.write(self._next(), True, self.detector)
        except Exception as exc:  # the next step tries again
            self.failures += 1
            self.error = exc
        else:
            self.failures = 0

    def deregister(self) -> None:
        """Delete the record."""
        self._ledger.deregister(self._next())

    def _next(self) -> Heartbeat:
        self._record = replace(self._record, sequence=self._record.sequence + 1)
        return self._record


@contextmanager
def observing(ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> Iterator[Observer]:
    """Observe the other processes until the block ends.

    Args:
        ledger: The ledger, which trusts the observer until then.
        clock: A monotonic clock, in seconds.
    """
    observer = Observer(ledger, clock)
    ledger.trust(observer.detector)
    try:
        yield observer
    finally:
        ledger.distrust(observer.detector)
        with suppress(Exception):
            observer.deregister()
