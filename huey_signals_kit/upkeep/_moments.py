"""Moments that somebody has written down."""

from __future__ import annotations

from datetime import datetime, timezone


def to_datetime(seconds: float) -> datetime | None:
    """The moment so many *seconds* after 1970 began; None where that is no moment."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return None
