"""Send a sink what was added since it last accepted changes."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..metrics.values import Totals, difference, to_sample
from ..runtime.fork import reset_in_child
from .protocol import Sink


class DeltaSender:
    """A job for the scheduler that calls a sink with the new counts, if there are any.

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
        """Return whether there are new counts, and the last call is `interval` seconds ago.

        The first counts of a process are therefore sent soon, in case it is killed.
        """
        last = self._called_at
        is_due = last is None or time.monotonic() - last >= self._interval
        return is_due and self._revision() != self._sent_revision

    def __call__(self) -> None:
        """Call the sink; counts that it does not accept stay for the next call."""
        revision = self._revision()
        totals = self._totals()
        new = difference(totals, self._sent)
        if new:
            changes = [to_sample(key, value) for key, value in new.items()]
            self._called_at = time.monotonic()
            if self._sink.send(changes) is not False:
                self._sent = totals
                self._sent_revision = revision
