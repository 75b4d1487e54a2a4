"""Watch the processes of a queue from a process without heartbeats, such as a command."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from uuid import uuid4

from ..runtime.process_id import INCARNATION, this_process
from ._failure_detector import BEAT_SECONDS, FailureDetector
from ._ledger import Ledger
from ._record import Heartbeat


class Watcher:
    """A watcher in a process without heartbeats, with a record of its own.

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
        self._due = self._clock() + BEAT_SECONDS
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
def watching(ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> Iterator[Watcher]:
    """Watch the other processes until the block ends.

    Args:
        ledger: The ledger, which trusts the watcher until then.
        clock: A monotonic clock, in seconds.
    """
    watcher = Watcher(ledger, clock)
    ledger.believe(watcher.detector, True)
    try:
        yield watcher
    finally:
        ledger.believe(watcher.detector, False)
        with suppress(Exception):
            watcher.deregister()
