"""Texts about the problems in a report: what each means, and what to do."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...upkeep import Report
from ...upkeep.reports import problems
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
    return [
        Problem(problem.name, _text(problem, report, huey))
        for problem in problems.find_problems(report)
    ]


def _text(problem: problems.Problem, report: Report, huey: Any) -> str:
    kind, count = problem.kind, problem.number
    if kind == problems.VALUES:
        return (
            f"{pluralize(count, 'value')} in the store cannot be read. The kit deletes nothing "
            "that it cannot read; use the tools of the storage"
        )
    if kind == problems.MESSAGES:
        return (
            f"{pluralize(count, 'message')} in the queue or the schedule cannot be read: until "
            "they are run or removed, no sweep and no purge deletes anything"
        )
    if kind == problems.RECORDS:
        return _records_text(report.unreadable.records, huey)
    if kind == problems.LOCKS:
        return (
            f"{pluralize(count, 'lock')} of dead processes: tasks that need them do not run. "
            f"{program.name} locks shows and releases them"
        )
    if kind == problems.WORKERS:
        dead = problems.dead_workers(report.consumers)
        names = join_limited(f"process {process.pid} on {process.host}" for process in dead)
        return (
            f"{pluralize(count, 'message')} {verb(count, 'wait')} in the queue, and every known "
            f"process with workers is dead ({names}). Start a consumer, unless a consumer without "
            "the kit is running: this command cannot see those"
        )
    if kind == problems.PERIODIC:
        return problems.repeated_text(problems.repeated_periodic(report.consumers))
    if kind == problems.ERRORS:
        return (
            f"{pluralize(count, 'lock error')} {verb(count, 'are')} stored, and no consumer with "
            "the kit is known. A kit in the application alone does not prevent them: call "
            "install_handlers in the module where the Huey is created, so that the consumer calls "
            "it, too"
        )
    return (
        "Pause switches without effect, because this Huey does not have their tasks: "
        f"{join_limited(report.pauses.ownerless)}. If the tasks were renamed or removed, delete "
        f"the switches with {program.name} tokens delete"
    )


def _records_text(names: list[str], huey: Any) -> str:
    places = join_limited(describe_record(huey, name) for name in names)
    return (
        f"{pluralize(len(names), 'record')} of the ledger cannot be read ({places}): until that is "
        "solved, no sweep and no purge deletes anything. Run the same version of huey-signals-kit "
        "in all processes of this queue, then delete a record that still cannot be read. Only its "
        "counts are lost; a living process writes its record again: "
        + program.command("forget", program.huey_word, "--record", names[0], "--apply")
    )
