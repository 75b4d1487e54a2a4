"""Problems in a report that need attention."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...upkeep import LOCK_ERRORS, Report
from .._shared.storage_errors import describe_record
from .._shared.terminal import program
from .._shared.wording import join_limited, pluralize, verb


class Problem(NamedTuple):
    """Something that no command of the kit solves by itself."""

    name: str
    """A noun phrase for the first sentence of the report."""
    text: str
    """What it means, and what to do."""


def find_problems(report: Report, huey: Any) -> list[Problem]:
    """Return each problem in `report` that needs attention."""
    problems = _unreadable(report, huey)
    if report.locks.stale:
        locks = pluralize(report.locks.stale, "lock")
        problems.append(
            Problem(
                f"{locks} held by dead processes",
                f"{locks} of dead processes: tasks that need them do not run. {program.name} locks "
                "shows and releases them",
            )
        )
    if (dead := _dead_workers(report)) and report.queue_length:
        messages = pluralize(report.queue_length, "message")
        problems.append(
            Problem(
                f"{messages} without a live worker",
                f"{messages} {verb(report.queue_length, 'wait')} in the queue, and every known "
                f"process with workers is dead ({join_limited(dead)}). Start a consumer, unless a "
                "consumer without the kit is running: this command cannot see those",
            )
        )
    lock_errors = count_lock_errors(report)
    if lock_errors and not report.has_consumer:
        errors = pluralize(lock_errors, "lock error")
        problems.append(
            Problem(
                f"{errors} stored while no consumer with the kit is known",
                f"{errors} {verb(lock_errors, 'are')} stored, and no consumer with the kit is "
                "known. A kit in the application alone does not prevent them: call "
                "install_handlers in the module where the Huey is created, so that the consumer "
                "calls it, too",
            )
        )
    if report.pauses.ownerless:
        count = len(report.pauses.ownerless)
        problems.append(
            Problem(
                f"{count:,} pause {'switches' if count != 1 else 'switch'} without a task",
                "Pause switches without effect, because this Huey does not have their tasks: "
                f"{join_limited(report.pauses.ownerless)}. If the tasks were renamed or removed, "
                f"delete the switches with {program.name} tokens delete",
            )
        )
    return problems


def _unreadable(report: Report, huey: Any) -> list[Problem]:
    """Return a problem for each kind of data that cannot be read, with what that blocks."""
    unreadable, problems = report.unreadable, []
    if unreadable.values:
        values = pluralize(unreadable.values, "value")
        problems.append(
            Problem(
                f"{values} that cannot be read",
                f"{values} in the store cannot be read. The kit deletes nothing that it cannot "
                "read; use the tools of the storage",
            )
        )
    if unreadable.messages:
        messages = pluralize(unreadable.messages, "message")
        problems.append(
            Problem(
                f"{messages} that cannot be read",
                f"{messages} in the queue or the schedule cannot be read: until they are run or "
                "removed, no sweep and no purge deletes anything",
            )
        )
    if unreadable.records:
        places = join_limited(describe_record(huey, name) for name in unreadable.records)
        records = f"{pluralize(len(unreadable.records), 'record')} of the ledger"
        first = unreadable.records[0]
        problems.append(
            Problem(
                f"{records} that cannot be read",
                f"{records} cannot be read ({places}): until that is solved, no sweep and no "
                "purge deletes anything. Run the same version of huey-signals-kit in all processes "
                "of this queue, then delete a record that still cannot be read. Only its counts "
                "are lost; a living process writes its record again: "
                + program.command("forget", program.huey_word, "--record", first, "--apply"),
            )
        )
    return problems


def _dead_workers(report: Report) -> list[str]:
    """Return all processes with workers, if every one of them is dead."""
    workers = [process for process in report.consumers if process.worker not in ("", "scheduler")]
    if any(process.alive is not False for process in workers):
        return []
    return [f"process {process.pid} on {process.host}" for process in workers]


def count_lock_errors(report: Report) -> int:
    """Return how many lock errors are stored that are neither kept on purpose nor expire."""
    return sum(
        report.errors.get(name, 0) - report.kept.get(name, 0) - report.expiring.get(name, 0)
        for name in LOCK_ERRORS
    )
