"""Judge whether the process that holds a lock is alive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..locks.holder import Holder
from ..runtime.process_id import INCARNATION, this_process
from ._liveness import LivenessDetector, Process


@dataclass(frozen=True)
class HolderState:
    """Whether the holder of a lock is alive, as far as a reader knows."""

    alive: bool | None
    unclaimed: bool = False
    """Whether the holder has no record, and no sign that it ever had one."""
    silent: float | None = None
    """Seconds of silence that a watcher has seen; None if no watcher has."""
    limit: float = 0.0
    """Seconds of silence after which the holder counts as dead."""
    is_older: bool = False
    """Whether the holder ran version 0.1, and its record is not where this version looks."""

    @property
    def is_silent(self) -> bool:
        """Whether the holder has been silent for at least `limit` seconds."""
        return self.silent is not None and self.silent >= self.limit > 0


def holder_state(
    detector: LivenessDetector, holder: Holder, processes: Iterable[Process]
) -> HolderState:
    """Judge the process of *holder*.

    A process that holds a lock writes heartbeats every few seconds, so its silence counts. If it
    has no record, the time without a record counts. A holder that never had a known record is
    `unclaimed` instead of dead.
    """
    place = holder.place
    own = place == this_process() and bool(place.pid_namespace)
    replaced = own and 0 < holder.incarnation < INCARNATION
    if replaced or detector.is_replaced(place, holder.incarnation):
        return HolderState(False)
    if not own and (there := place.is_alive()) is not None:
        return HolderState(there)
    if own:
        return HolderState(None)
    records = [
        each
        for each in processes
        if each.heartbeat.place == place
        and each.heartbeat.incarnation >= holder.incarnation * bool(each.heartbeat.incarnation)
    ]
    if any(each.alive for each in records):
        return HolderState(True, silent=_least(each.silent for each in records))
    if records:
        silent = _least(each.silent for each in records)
        limit = max(detector.limit(each.heartbeat) for each in records)
    elif not holder.incarnation:
        return HolderState(None, is_older=True)
    else:
        silent, limit = detector.silence_of_missing(place), detector.limit()
    state = HolderState(None, not records and not holder.has_heartbeat, silent, limit)
    dead = state.is_silent and not state.unclaimed
    return replace(state, alive=False) if dead else state


def _least(silences: Iterable[float | None]) -> float | None:
    """Return the shortest silence; None if one is unknown."""
    known = list(silences)
    return None if None in known else min(each for each in known if each is not None)
