"""A heartbeat that writes nothing, for kits that exist for the duration of a test."""

from __future__ import annotations

from .heartbeat import HeartbeatWriter


class NullHeartbeat(HeartbeatWriter):
    """A `HeartbeatWriter` without a record: other processes do not see this kit.

    It still has the ledger, which methods of a kit such as `Kit.locks` read. `Kit` does not call
    `on_worker_start` of this class.
    """

    def install(self) -> None:
        """Do nothing."""

    def on_scheduler_detected(self) -> None:
        """Do nothing."""

    def on_lock_acquired(self) -> None:
        """Do nothing."""

    def write(self) -> None:
        """Do nothing."""
