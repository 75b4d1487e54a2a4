"""Keeps lock errors out of the result store."""

from __future__ import annotations

from ..event import Event
from ..verdict import DROP, Verdict


def drop_lock_errors(event: Event) -> Verdict | None:
    """`DROP` if somebody else had the lock, no opinion on any other error."""
    return DROP if event.is_lock_error else None
