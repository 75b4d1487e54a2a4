"""The faults of a run by their names, which storage has them, and in which order they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.faults import network_faults, process_faults, server_faults

Fault = Callable[[Any], None]
_PROCESSES: tuple[Fault, ...] = (
    process_faults.killed,
    process_faults.consumer_killed,
    process_faults.scheduler_killed,
    process_faults.terminated,
    process_faults.interrupted,
    process_faults.hung_up,
    process_faults.observers_raise,
    process_faults.observers_hang,
    process_faults.sentry_blocks,
    process_faults.prometheus_gone,
    process_faults.clock_ahead,
    process_faults.clock_back,
    process_faults.powered_off,
    process_faults.stopped,
    process_faults.busy,
)
_BY_STORAGE: dict[str, tuple[Fault, ...]] = {
    "redis": (
        server_faults.full,
        network_faults.partitioned,
        server_faults.paused,
        server_faults.crashed,
        server_faults.restored,
        server_faults.read_only,
        server_faults.without_scripts,
        server_faults.slow,
        server_faults.emptied,
        server_faults.volatile,
        server_faults.evicting,
        server_faults.client_paused,
    ),
    "sqlite": (server_faults.locked, server_faults.disk_full),
    "postgres": (server_faults.postgres_killed, network_faults.partitioned),
}


def _name(fault: Fault) -> str:
    return fault.__name__.replace("_", "-")


GRACEFUL = ("interrupted", "hung-up")
"""In these a consumer ends its tasks first, so no task is to hold a lock for long."""
ALONE: tuple[Fault, ...] = (process_faults.killed_once,)
"""The short ones, which run only if they are asked for."""
FAULTS = {
    _name(each): each for faults in (_PROCESSES, *_BY_STORAGE.values(), ALONE) for each in faults
}


def faults_of(storage: str) -> list[str]:
    """Return the names of all faults that this storage has, in the order of a run."""
    own, others = list(_BY_STORAGE[storage]), list(_PROCESSES)
    mixed = []
    while own or others:  # one of the storage, then one of the processes
        mixed += [faults.pop(0) for faults in (own, others) if faults]
    return [_name(each) for each in mixed]
