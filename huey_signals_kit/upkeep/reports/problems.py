"""What in a queue needs attention: for the command `report` and for the web interface alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol, TypeVar

from ..errors import LOCK_ERRORS
from ..wording import pluralize
from .model import Report

VALUES, MESSAGES, RECORDS = "values", "messages", "records"
LOCKS, WORKERS, ERRORS, PAUSES = "locks", "workers", "errors", "pauses"


class Problem(NamedTuple):
    """Something that no command of the kit solves by itself."""

    kind: str
    """One of the constants of this module."""
    number: int
    name: str
    """A noun phrase with the count."""


class _Worker(Protocol):
    @property
    def worker(self) -> str: ...
    @property
    def alive(self) -> bool | None: ...


W = TypeVar("W", bound=_Worker)


def find_problems(report: Report) -> list[Problem]:
    """Return each problem in `report` that needs attention."""
    unreadable, pauses = report.unreadable, len(report.pauses.ownerless)
    has_no_worker = bool(dead_workers(report.consumers))
    errors = 0 if report.has_consumer else count_lock_errors(report)
    problems = (
        Problem(VALUES, unreadable.values, _unreadable(unreadable.values, "value")),
        Problem(MESSAGES, unreadable.messages, _unreadable(unreadable.messages, "message")),
        Problem(
            RECORDS,
            len(unreadable.records),
            f"{pluralize(len(unreadable.records), 'record')} of the ledger that cannot be read",
        ),
        Problem(
            LOCKS,
            report.locks.stale,
            f"{pluralize(report.locks.stale, 'lock')} held by dead processes",
        ),
        Problem(
            WORKERS,
            report.queue_length if has_no_worker else 0,
            f"{pluralize(report.queue_length, 'message')} without a live worker",
        ),
        Problem(
            ERRORS,
            errors,
            f"{pluralize(errors, 'lock error')} stored while no consumer with the kit is known",
        ),
        Problem(
            PAUSES,
            pauses,
            f"{pauses:,} pause {'switches' if pauses != 1 else 'switch'} without a task",
        ),
    )
    return [problem for problem in problems if problem.number]


def _unreadable(count: int, noun: str) -> str:
    return f"{pluralize(count, noun)} that cannot be read"


def dead_workers(processes: Iterable[W]) -> list[W]:
    """Return all processes with workers, if every one of them is dead; else nothing."""
    workers = [process for process in processes if process.worker not in ("", "scheduler")]
    return [] if any(process.alive is not False for process in workers) else workers


def count_lock_errors(report: Report) -> int:
    """Return how many lock errors are stored that are neither kept on purpose nor expire."""
    return sum(
        report.errors.get(name, 0) - report.kept.get(name, 0) - report.expiring.get(name, 0)
        for name in LOCK_ERRORS
    )


def list_garbage(report: Report) -> list[tuple[str, str]]:
    """Return what can be deleted, as noun phrases, and the command for each."""
    orphaned, errors = report.tokens.orphaned, count_lock_errors(report)
    garbage = [
        (orphaned, f"{pluralize(orphaned, 'orphaned token')}", "sweep"),
        (errors, f"{pluralize(errors, 'lock error')}", "purge"),
    ]
    return [(name, command) for count, name, command in garbage if count]
