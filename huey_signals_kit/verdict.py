"""Verdicts: what Huey stores of the error of one attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ._checks import validate_seconds


class Plan(Protocol):
    """A change of the task itself, such as another run, that belongs to a verdict.

    Only the plan of the verdict that decides is used. Plans are made by `RescheduleLocked`.
    """

    def start(self) -> Verdict:
        """Prepare the task for another run; return the verdict that is applied."""

    def cancel(self) -> None:
        """Restore the task as it was before `start`."""

    def requeue(self, requeue: Callable[..., Any], timestamp: Any) -> Any:
        """Give the task back to Huey for its next run.

        Args:
            requeue: Huey's ``_requeue_task``.
            timestamp: The time of this attempt, as Huey passes it.
        """


@dataclass(frozen=True)
class Verdict:
    """The verdict on the error of an attempt: use `KEEP`, `DROP` and `expire`, not the class.

    A handler returns a verdict, or None to leave the decision to the handlers after it.

    Args:
        action: ``"keep"``, ``"drop"`` or ``"expire"``.
        seconds: How long an error that expires is kept; None for the other actions.
        plan: For handlers of this package only.
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
"""Store the error as Huey does."""

DROP = Verdict("drop")
"""Store nothing. A caller that waits for the result without a timeout waits forever."""

_TEN_YEARS = 10 * 365 * 86_400.0


def expire(seconds: float) -> Verdict:
    """Return a verdict that stores a small error without a traceback for some seconds.

    The error expires on every storage. A caller that waits for the result learns why the task
    failed: Huey raises its ``TaskException``.

    Args:
        seconds: Seconds above 0, at most ten years.
    """
    return Verdict("expire", validate_seconds(seconds, "expire()", maximum=_TEN_YEARS))


BY_NAME = {verdict.action: verdict for verdict in (KEEP, DROP)}
"""The verdicts without seconds, by the names that ``lock_errors=`` of a task takes."""
