"""Watch the other processes of a queue from one that writes no heartbeats, as a command."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from uuid import uuid4

from .._place import INCARNATION, here
from ._ledger import Ledger
from ._record import Heartbeat
from ._watch import BEAT_SECONDS, FailureDetector


class Watcher:
    """A record that is written only to watch the others.

    Args:
        ledger: What learns what this watcher finds out.
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._record = Heartbeat(uuid4().hex, here(), started=time.time(), incarnation=INCARNATION)
        self.detector = FailureDetector(clock)
        self._due = clock()
        self.failures = 0
        """How often in a row the record could not be written."""
        self.error: Exception | None = None
        """Why, the last time."""

    def step(self) -> None:
        """Write the record if it is due; to be called at least every few seconds."""
        if self._clock() < self._due:
            return
        self._due = self._clock() + BEAT_SECONDS
        try:
            self._ledger.beat(self._next(), True, self.detector)
        except Exception as exc:  # it begins again when the storage is well
            self.failures += 1
            self.error = exc
        else:
            self.failures = 0

    def leave(self) -> None:
        """Delete the record."""
        self._ledger.leave(self._next())

    def _next(self) -> Heartbeat:
        self._record = replace(self._record, sequence=self._record.sequence + 1)
        return self._record


@contextmanager
def watching(ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> Iterator[Watcher]:
    """Watch the others from a process that writes no heartbeats, until the block ends."""
    watcher = Watcher(ledger, clock)
    ledger.believe(watcher.detector, True)
    try:
        yield watcher
    finally:
        ledger.believe(watcher.detector, False)
        with suppress(Exception):
            watcher.leave()
