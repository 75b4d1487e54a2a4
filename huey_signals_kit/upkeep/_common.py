"""Parts that several kinds of upkeep use."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any


class Stopped(RuntimeError):
    """The error of work that failed halfway, as when the storage became unreachable.

    Its `report` has what was done until then.

    Args:
        queue: The name of the Huey.
        report: The report so far; it has at least `scanned` and `deleted`.
        cause: The exception that stopped the work.
    """

    work = "the work on"
    """The beginning of the message."""

    def __init__(self, queue: str, report: Any, cause: BaseException) -> None:
        super().__init__(
            f"{self.work} {queue!r} stopped after {report.scanned} keys, of which it has "
            f"deleted {report.deleted}: {cause!r}"
        )
        self.report = report


def to_datetime(seconds: float) -> datetime | None:
    """Return a stored time in UTC; None if it is out of range.

    Args:
        seconds: Seconds since the epoch.
    """
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return None
