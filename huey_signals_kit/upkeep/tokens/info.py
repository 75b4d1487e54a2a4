"""What is told of revoke tokens and pause switches, one by one."""

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
"""What would be orphaned or custom, where a message or a record cannot be read."""


@dataclass(frozen=True)
class TokenInfo:
    """One revoke token, or one pause switch."""

    name: str
    """The id of the task, or for a pause switch ``module.name``."""
    kind: str
    """``"token"`` or ``"pause_switch"``."""
    state: str
    """``"live"``, ``"custom"``, ``"orphaned"`` or ``"unknown"``, for a pause switch
    ``"active"``, ``"expired"`` or ``"ownerless"``; for either ``"unreadable"``."""
    until: datetime | None
    """When it ends; None for one that does not. In the time of its Huey, without a zone."""
    once: bool
    """Whether it is for the next run alone."""
    entry: Entry = field(repr=False)

    @property
    def stops(self) -> bool:
        """Whether it keeps a task from running that may come to run."""
        return self.state in (LIVE, ACTIVE)

    def as_dict(self) -> dict[str, Any]:
        """The same in plain values, for JSON."""
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
    """Where a task was seen."""

    place: str
    """``"queue"``, ``"schedule"`` or ``"running"``."""
    task_name: str
    """The task that stands there: its own, or one that it is nested in."""
    nested: bool


@dataclass(frozen=True)
class TokensDeleted:
    """What was done to the tokens that were named."""

    scanned: int = 0
    """Tokens of any name that were read."""
    matched: int = 0
    stopping: int = 0
    """Of these, those that keep a task from running that may still come to run."""
    deleted: int = 0
    """Of these, those deleted; in a dry run, those that would be."""
    changed: int = 0
    """Of these, those that were written anew or deleted meanwhile: left alone."""
    states: dict[str, int] = field(default_factory=dict)
    """How many of which state have matched."""
    unmatched: tuple[str, ...] = ()
    """The patterns that nothing has matched."""
    dry_run: bool = False


class TokensStopped(Stopped):
    """A deletion that could not go on; ``report`` has what it did until then."""

    report: TokensDeleted
    work = "deleting tokens of"
