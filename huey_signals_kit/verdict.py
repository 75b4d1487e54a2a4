"""What becomes of the error of one attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Verdict:
    """What becomes of an attempt's error; use the constants, not the class.

    A handler returns one, or None to leave the decision to the handlers after it.
    """

    action: Literal["keep", "drop"]

    def __post_init__(self) -> None:
        if self.action not in ("keep", "drop"):
            raise ValueError(f"there is no verdict {self.action!r}; use KEEP or DROP")

    def __repr__(self) -> str:
        return self.action.upper()

    __str__ = __repr__


KEEP = Verdict("keep")
"""The error is stored as Huey does it."""

DROP = Verdict("drop")
"""Nothing is stored. Whoever waits for the result without a timeout waits for ever."""

BY_NAME = {verdict.action: verdict for verdict in (KEEP, DROP)}
