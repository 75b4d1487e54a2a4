"""The reports and data classes of token work."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ...store.protocol import Entry
from .._common import Stopped

LIVE, CUSTOM, ORPHANED = "live", "custom", "orphaned"
ACTIVE, EXPIRED, OWNERLESS = "active", "expired", "ownerless"
UNREADABLE = "unreadable"
UNKNOWN = "unknown"
"""The state of a token that would be orphaned or custom, while a message or a record cannot be
read."""


@dataclass(frozen=True)
class SweepReport:
    """The result of a sweep.

    Each scanned token is counted in one of `live`, `custom`, `marked`, `deleted` and `undecided`.
    """

    scanned: int = 0
    live: int = 0
    """Tokens whose task can still run."""
    custom: int = 0
    """Tokens of ids that Huey has not made; never deleted."""
    marked: int = 0
    """Orphaned tokens that a later sweep will delete, at least `min_age` after the first one."""
    deleted: int = 0
    """Tokens that were deleted; in a dry run, tokens that would be."""
    seconds: float = 0.0
    undecided: int = 0
    """Tokens that cannot be read, were changed meanwhile, or may be live."""
    unreadable: int = 0
    """Messages that cannot be read; if there is one, nothing is deleted."""
    stopped: str = ""
    """The reason why deleting stopped, if it did."""
    dry_run: bool = False


class SweepStopped(Stopped):
    """The error of a sweep that stopped early; `report` has what was done until then."""

    report: SweepReport
    work = "the sweep of"


@dataclass(frozen=True)
class TokenInfo:
    """One revoke token, or one pause switch."""

    name: str
    """The id of the task; for a pause switch, ``module.name`` of its tasks."""
    kind: str
    """``"token"`` or ``"pause_switch"``."""
    state: str
    """For a token ``"live"``, ``"custom"``, ``"orphaned"`` or ``"unknown"``; for a pause switch
    ``"active"``, ``"expired"`` or ``"ownerless"``; for either ``"unreadable"``."""
    until: datetime | None
    """When it expires, without a zone, in the time of its Huey; None if it does not expire."""
    once: bool
    """Whether it stops only the next run."""
    entry: Entry = field(repr=False)
    """The key and the value."""

    @property
    def is_stopping(self) -> bool:
        """Whether it keeps a task from running that could run otherwise."""
        return self.state in (LIVE, ACTIVE)

    def as_dict(self) -> dict[str, Any]:
        """Return the token as plain values for JSON."""
        until = None if self.until is None else self.until.isoformat()
        return {
            "name": self.name,
            "kind": self.kind,
            "state": self.state,
            "until": until,
            "once": self.once,
            "bytes": self.entry.size,
        }


@dataclass(frozen=True)
class TaskLocation:
    """A place where a task was found."""

    place: str
    """``"queue"``, ``"schedule"`` or ``"running"``."""
    task_name: str
    """The name of the task there: of the task itself, or of a task in which it is nested."""
    nested: bool
    """Whether it is nested in the task there."""


@dataclass(frozen=True)
class TokensDeleted:
    """The result of deleting tokens by name."""

    scanned: int = 0
    """Tokens that were read, with any name."""
    matched: int = 0
    """Tokens that a pattern matches."""
    stopping: int = 0
    """Matched tokens that keep a task from running that could run otherwise."""
    deleted: int = 0
    """Matched tokens that were deleted; in a dry run, tokens that would be."""
    changed: int = 0
    """Matched tokens that were replaced or deleted meanwhile, and so were left alone."""
    states: dict[str, int] = field(default_factory=dict)
    """The number of matched tokens by state."""
    unmatched: tuple[str, ...] = ()
    """The patterns that match no token."""
    dry_run: bool = False


class TokensStopped(Stopped):
    """The error of a deletion that stopped early; `report` has what was done until then."""

    report: TokensDeleted
    work = "deleting tokens of"
