"""What becomes of the error of one attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ._checks import validate_seconds


class Plan(Protocol):
    """Changes of a verdict to the task itself; only the plan of the winning verdict is used."""

    def start(self) -> Verdict:
        """Prepare the task for another run; return the verdict that counts."""

    def cancel(self) -> None:
        """Leave the task as it was before `start`."""

    def requeue(self, requeue: Callable[..., Any], timestamp: Any) -> Any:
        """Hand the task to *requeue*, which is Huey's ``_requeue_task``."""


@dataclass(frozen=True)
class Verdict:
    """What becomes of an attempt's error; use `KEEP`, `DROP` and `expire`, not the class.

    A handler returns one, or None to leave the decision to the handlers after it.
    ``seconds`` is how long an error that expires is kept, None for other verdicts. ``plan`` is for
    handlers of this package only.
    """

    action: Literal["keep", "drop", "expire"]
    seconds: float | None = None
    plan: Plan | None = field(default=None, repr=False, compare=False)

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

_TEN_YEARS = 10 * 365 * 86_400.0


def expire(seconds: float) -> Verdict:
    """A small error without a traceback is stored, and gone after *seconds*, on every storage.

    Whoever waits for the result learns why it failed: Huey raises its ``TaskException``.
    *seconds* is a number above 0, of at most ten years.
    """
    return Verdict("expire", validate_seconds(seconds, "expire()", most=_TEN_YEARS))


BY_NAME = {verdict.action: verdict for verdict in (KEEP, DROP)}
