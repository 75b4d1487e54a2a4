"""The defaults and bounds of arguments; importing them imports nothing else of `upkeep`."""

from __future__ import annotations

from ..ledger import HEARTBEAT_SECONDS

DAY = 86_400.0
"""Seconds between the two sweeps that find a token orphaned."""

WEEK = 7 * DAY
"""Seconds between the two purges that find a result unchanged."""

MIN_AGE = 3 * HEARTBEAT_SECONDS
"""The minimum of seconds between two sweeps: a process writes what it runs in every heartbeat."""

UNCLAIMED_SECONDS = 900.0
"""Seconds between two checks that find a lock unchanged that no process claims."""

LOCK_ERRORS = ("TaskLockedException",)
"""The names of the errors that a purge deletes."""
