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

from ..runtime.fork import reset_in_child
from ..runtime.process_id import INCARNATION, this_process
from ._failure_detector import HEARTBEAT_SECONDS, OVERDUE_SECONDS, FailureDetector
from ._ledger import Ledger
from ._record import Heartbeat

_MAX_OBSERVERS = 3
"""More than one, in case a host fails; few, as each reads all records every few seconds."""


class ObserverLease:
    """The right of one process to observe the others, which at most three hosts have.

    It is one of a few leases of the ledger. Processes of one host need only one observer: the
    others of that host are judged by the operating system, and a host that is cut off is so for all
    of them.

    A process with priority takes the place of one without it, but not before it has run for
    `stale_after` seconds: a process that restarts all the time never learns which processes are
    dead, and would keep the other from learning it.

    Args:
        ledger: The ledger.
        stale_after: Seconds of silence after which a process counts as dead.
        has_priority: Whether this process has priority.
    """

    def __init__(self, ledger: Ledger, stale_after: float, has_priority: bool) -> None:
        self._leases = [
            ledger.lease(f"watch {number}", OVERDUE_SECONDS, has_priority=has_priority)
            for number in range(1, _MAX_OBSERVERS + 1)
        ]
        self._stale_after = stale_after
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._started = time.monotonic()
        self._acquired = 0.0
        self.held = False
        """Whether this process observes the others."""

    @property
    def held_long(self) -> bool:
        """Whether it has observed them for so long that it knows which ones are dead."""
        return self.held and self._is_long_since(self._acquired)

    def _is_long_since(self, moment: float) -> bool:
        return time.monotonic() - moment >= self._stale_after

    def acquire(self) -> None:
        """Acquire or renew a lease.

        That fails if another process of this host, or of enough other hosts, observes.
        """
        was_held, self.held = self.held, False  # also if the storage fails
        self.held = self._acquire()
        if not was_held:
            self._acquired = time.monotonic()

    def _acquire(self) -> bool:
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
        may_take_over = lease.can_take_over and self._is_long_since(self._started)
        return may_take_over and lease.acquire(take_over=True)

    def release(self) -> None:
        """Release the lease, so that another process acquires it."""
        self.held = False
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
