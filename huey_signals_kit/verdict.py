"""What becomes of the error of one attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ._checks import checked_seconds


@dataclass(frozen=True)
class Verdict:
    """What becomes of an attempt's error; use `KEEP`, `DROP` and `expire`, not the class.

    A handler returns one, or None to leave the decision to the handlers after it.
    ``seconds`` is how long an error that expires is kept, and None for the others.
    """

    action: Literal["keep", "drop", "expire"]
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.action not in ("keep", "drop", "expire"):
            raise ValueError(
                f"there is no verdict {self.action!r}; use KEEP, DROP or expire(seconds)"
            )
        if (self.action == "expire") is (self.seconds is None):
            raise ValueError(
                f"a verdict {self.action!r} has seconds={self.seconds!r}; use expire()"
            )

    def __repr__(self) -> str:
        return self.action.upper() if self.seconds is None else f"expire({self.seconds:g})"

    __str__ = __repr__


KEEP = Verdict("keep")
"""The error is stored as Huey does it."""

DROP = Verdict("drop")
"""Nothing is stored. Whoever waits for the result without a timeout waits for ever."""

RESCHEDULED = Verdict("drop")
"""As `DROP`, of a task that will be run again: not counted as suppressed."""

_TEN_YEARS = 10 * 365 * 86_400.0


def expire(seconds: float) -> Verdict:
    """A small error without a traceback is stored, and gone after *seconds*, on every storage.

    Whoever waits for the result learns why it failed: Huey raises its ``TaskException``.
    *seconds* is a number above 0, of at most ten years.
    """
    return Verdict("expire", checked_seconds(seconds, "expire()", most=_TEN_YEARS))


BY_NAME = {verdict.action: verdict for verdict in (KEEP, DROP)}
