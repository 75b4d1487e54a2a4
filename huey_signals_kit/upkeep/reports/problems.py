"""What in a queue needs attention: for the command `report` and for the web interface alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from .._limits import LOCK_ERRORS
from ..wording import join_limited, pluralize
from .model import Report

VALUES, MESSAGES, RECORDS = "values", "messages", "records"
LOCKS, WORKERS, ERRORS, PAUSES = "locks", "workers", "errors", "pauses"
PERIODIC = "periodic"


_MAX_NAMES = 5


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


class _Scheduler(Protocol):
    @property
    def periodic(self) -> Sequence[str]: ...
    @property
    def host(self) -> str: ...
    @property
    def pid(self) -> int: ...
    @property
    def alive(self) -> bool | None: ...


W = TypeVar("W", bound=_Worker)
S = TypeVar("S", bound=_Scheduler)


def find_problems(report: Report) -> list[Problem]:
    """Return each problem in `report` that needs attention."""
    unreadable, pauses = report.unreadable, len(report.pauses.ownerless)
    has_no_worker = bool(dead_workers(report.consumers))
    errors = 0 if report.has_consumer else count_lock_errors(report)
    repeated = len(repeated_periodic(report.consumers))
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
            PERIODIC,
            repeated,
            f"{pluralize(repeated, 'periodic task')} enqueued by more than one consumer",
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


def periodic_schedulers(processes: Iterable[S]) -> dict[str, list[S]]:
    """Return the living processes that enqueue each periodic task, by the name of the task.

    With two such processes, each run of the task is enqueued twice. A process that may be dead does
    not count: it may have been replaced a minute ago.
    """
    by_task: defaultdict[str, list[S]] = defaultdict(list)
    for process in processes:
        if process.alive:
            for name in process.periodic:
                by_task[name].append(process)
    return by_task


def repeated_periodic(processes: Iterable[S]) -> dict[str, list[S]]:
    """Return the periodic tasks that more than one living process enqueues, with these."""
    by_task = periodic_schedulers(processes)
    return {name: own for name, own in sorted(by_task.items()) if len(own) > 1}


def repeated_text(repeated: Mapping[str, Sequence[_Scheduler]]) -> str:
    """Return a sentence about the tasks that `repeated_periodic` has found, and what to do.

    Args:
        repeated: The tasks, at least one, with the processes that enqueue them.
    """
    names = join_limited(repeated, _MAX_NAMES)
    processes = dict.fromkeys(
        f"process {process.pid} on {process.host}" for own in repeated.values() for process in own
    )
    return (
        f"{len(processes)} consumers enqueue the same periodic "
        f"{'task' if len(repeated) == 1 else 'tasks'}, so that each run happens more than once: "
        f"{names} (by {join_limited(processes, _MAX_NAMES)}). Start all consumers but one with "
        "--no-periodic"
    )


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
