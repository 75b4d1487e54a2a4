"""Judge whether the process that holds a lock is alive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..locks.holder import Holder
from ..runtime.process_id import INCARNATION, this_process
from ._liveness import LivenessView, Process
from ._record import Heartbeat


@dataclass(frozen=True)
class HolderState:
    """The state of a lock's holder, as far as a reader knows."""

    alive: bool | None
    """None if unknown."""
    unclaimed: bool = False
    """Whether the holder has no record, and no sign that it ever had one."""
    silent: float | None = None
    """Seconds of silence that an observer has measured; None if none has."""
    limit: float = 0.0
    """Seconds of silence after which the holder counts as dead."""
    is_older: bool = False
    """Whether the holder ran version 0.1, and its record is not where this version looks."""

    @property
    def is_silent(self) -> bool:
        """Whether the holder has been silent for at least `limit` seconds."""
        return self.silent is not None and self.silent >= self.limit > 0


def holder_state(view: LivenessView, holder: Holder, processes: Iterable[Process]) -> HolderState:
    """Judge whether the process of `holder` is alive.

    In this order: a program that was replaced by ``exec`` no longer holds the lock; the operating
    system knows the processes of this host; elsewhere the silence of the process decides. A process
    that holds a lock writes heartbeats every few seconds, so its silence counts. If it has no
    record, the time without a record counts. A holder that never had a known record is `unclaimed`
    instead of dead.

    Args:
        view: The reader's view of the ledger.
        holder: The holder that the lock's value names.
        processes: All processes of the ledger.
    """
    process = holder.process
    is_own = process == this_process() and bool(process.pid_namespace)
    is_replaced = is_own and 0 < holder.incarnation < INCARNATION
    if is_replaced or view.is_replaced(process, holder.incarnation):
        return HolderState(False)
    if not is_own and (alive := process.is_alive()) is not None:
        return HolderState(alive)
    if is_own:
        return HolderState(None)
    known = [process for process in processes if _may_be_holder(process.heartbeat, holder)]
    if any(process.alive for process in known):
        return HolderState(True, silent=_least(process.silent for process in known))
    if known:
        silent = _least(process.silent for process in known)
        limit = max(view.limit(process.heartbeat) for process in known)
    elif not holder.incarnation:
        return HolderState(None, is_older=True)
    else:
        silent, limit = view.silence_of_missing(process), view.limit()
    state = HolderState(None, not known and not holder.has_heartbeat, silent, limit)
    is_dead = state.is_silent and not state.unclaimed
    return replace(state, alive=False) if is_dead else state


def _may_be_holder(record: Heartbeat, holder: Holder) -> bool:
    """Return whether a record is of the holder's process, but not from before its ``exec``."""
    is_earlier = 0 < record.incarnation < holder.incarnation
    return record.process == holder.process and not is_earlier


def _least(silences: Iterable[float | None]) -> float | None:
    """Return the shortest silence; None if one is unknown."""
    values = list(silences)
    return None if None in values else min(value for value in values if value is not None)
