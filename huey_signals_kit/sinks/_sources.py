"""Add up the counts of every kit of this process that a pull sink shows."""

from __future__ import annotations

from ..metrics.values import Totals, merge
from ..runtime.fork import reset_in_child
from .protocol import Source


class Sources:
    """The sources of a pull sink, and the last counts of the sources that were removed.

    A removed source keeps counting with its last value, because a counter that goes back is read
    as a restart: Prometheus would add the whole remaining value again.
    """

    def __init__(self) -> None:
        # The sources and the counts of removed ones in a single attribute, so that a reader on
        # another thread never sees a source twice, or not at all.
        self._state: tuple[tuple[Source, ...], Totals] = ((), {})
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._state = (self._state[0], {})

    def __bool__(self) -> bool:
        return bool(self._state[0])

    def add(self, source: Source) -> None:
        """Show a source; nothing happens if it is shown already."""
        sources, removed = self._state
        if source not in sources:
            self._state = ((*sources, source), removed)

    def remove(self, source: Source) -> None:
        """Keep what a source has counted; nothing happens if it is not shown."""
        sources, removed = self._state
        if source in sources:
            removed = dict(removed)
            merge(removed, source.totals())
            self._state = (tuple(other for other in sources if other is not source), removed)

    def totals(self) -> Totals:
        """Return everything that was counted in this process."""
        sources, removed = self._state
        totals = dict(removed)
        for source in sources:
            merge(totals, source.totals())
        return totals

    def with_initial(self, totals: Totals) -> Totals:
        """Add every known series that is missing in `totals` at zero; return `totals`."""
        for source in self._state[0]:
            for key in source.initial_keys():
                totals.setdefault(key, 0)
        return totals
