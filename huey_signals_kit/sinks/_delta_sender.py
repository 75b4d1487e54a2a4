"""Sends a sink what has been added since it last took something."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..metrics.values import Totals, added, sample
from ..runtime.fork import reset_in_child
from .protocol import Sink


class DeltaSender:
    """A job for the scheduler: calls *sink* with the new counts, if there are any.

    Args:
        sink: The sink.
        totals: Returns all counts.
        revision: Returns a number that changes when something is counted.
        interval: The least number of seconds between two calls of the sink.
    """

    def __init__(
        self,
        sink: Sink,
        totals: Callable[[], Totals],
        revision: Callable[[], int],
        interval: float,
    ) -> None:
        self._sink = sink
        self._totals = totals
        self._revision = revision
        self._interval = interval
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._sent: Totals = {}
        self._sent_revision = 0
        self._called_at: float | None = None

    def is_wanted(self) -> bool:
        """Return whether there are new counts, and the sink was not called for *interval* seconds.

        So the first counts of a process are sent soon, in case it is killed.
        """
        last = self._called_at
        rested = last is None or time.monotonic() - last >= self._interval
        return rested and self._revision() != self._sent_revision

    def __call__(self) -> None:
        revision = self._revision()
        now = self._totals()
        more = added(now, self._sent)
        if more:
            changes = [sample(key, value) for key, value in more.items()]
            self._called_at = time.monotonic()
            if self._sink.send(changes) is not False:
                self._sent = now
                self._sent_revision = revision
