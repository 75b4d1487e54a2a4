"""What a sweep of tokens tells, also when it could not go on."""

from __future__ import annotations

from dataclasses import dataclass

from .._common import Stopped


@dataclass(frozen=True)
class SweepReport:
    """What one sweep has found: every token is one of live, custom, marked, deleted, undecided."""

    scanned: int = 0
    live: int = 0
    """Tokens of a task that stands somewhere."""
    custom: int = 0
    """Tokens of ids that Huey has not made; never deleted."""
    marked: int = 0
    """Orphans that wait for a second look, at least ``min_age`` after their first one."""
    deleted: int = 0
    """Tokens deleted; in a dry run, those that would have been."""
    seconds: float = 0.0
    undecided: int = 0
    """Tokens that were left alone: unreadable, changed meanwhile, or nobody can say."""
    unreadable: int = 0
    """Messages that could not be read; with any, nothing is deleted."""
    stopped: str = ""
    """Why nothing was deleted, where that has a reason."""
    dry_run: bool = False


class SweepStopped(Stopped):
    """A sweep that could not go on; ``report`` has what it did until then."""

    report: SweepReport
    work = "the sweep of"
