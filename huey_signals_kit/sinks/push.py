"""Sends a sink what has been added since it last took something."""

from __future__ import annotations

from collections.abc import Callable

from .._fork import reset_in_child
from .protocol import Sink
from .readings import Totals, added, sample


class Push:
    """A job for the tick: calls *sink* with the difference, if there is one."""

    def __init__(self, sink: Sink, totals: Callable[[], Totals]) -> None:
        self._sink = sink
        self._totals = totals
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._sent: Totals = {}

    def __call__(self) -> None:
        now = self._totals()
        more = added(now, self._sent)
        if more:
            changes = [sample(key, value) for key, value in more.items()]
            if self._sink.send(changes) is not False:
                self._sent = now
