"""What a view shows: the counts of every kit in this process that has it."""

from __future__ import annotations

from ..metrics.values import Totals, merge
from ..runtime.fork import reset_in_child
from .protocol import Source


class Sources:
    """The sources of a view, and what those that stopped had counted.

    A counter that went back would be read as a restart of every process that it sums up.
    """

    def __init__(self) -> None:
        # One attribute, so that no reader sees a source twice or not at all.
        self._state: tuple[tuple[Source, ...], Totals] = ((), {})
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._state = (self._state[0], {})

    def __bool__(self) -> bool:
        return bool(self._state[0])

    def add(self, source: Source) -> None:
        """Show *source* as well."""
        live, stopped = self._state
        if source not in live:
            self._state = ((*live, source), stopped)

    def remove(self, source: Source) -> None:
        """Keep what *source* has counted; nothing happens when it was not added."""
        live, stopped = self._state
        if source in live:
            stopped = dict(stopped)
            merge(stopped, source.totals())
            self._state = (tuple(each for each in live if each is not source), stopped)

    def totals(self) -> Totals:
        """All that was counted in this process."""
        live, stopped = self._state
        found = dict(stopped)
        for source in live:
            merge(found, source.totals())
        return found

    def shown(self, totals: Totals) -> Totals:
        """Return *totals*, with every known series that is missing added at zero."""
        for source in self._state[0]:
            for key in source.initial_keys():
                totals.setdefault(key, 0)
        return totals
