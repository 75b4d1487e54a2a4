"""``huey-signals explain``: where one task is, and why it does not run."""

from __future__ import annotations

from typing import Annotated

import typer

from ...upkeep import explain as find
from .._shared.command import AsJson, HueyName, command_context, print_json
from .._shared.exits import NEEDS_PERSON, WrongUse
from .._shared.progress import progress
from . import view

HELP = """\b
This command looks at the queue, the schedule, running tasks (in consumers with
the kit), later stages and error handlers, chords, tokens, locks, recent lock
skips and the result, which it leaves in place. Times are in this Huey's zone.

\b
Exit codes: 0 something knows the task, 1 nothing does, or the storage failed,
2 wrong use

\b
Examples:
  huey-signals explain tasks.huey 5f0c1f7e-0d4c-4c55-9d53-1f3f5b9c3a10
  huey-signals explain tasks.huey nightly-report --json
"""


def explain(
    huey_name: HueyName,
    task_id: Annotated[
        str,
        typer.Argument(metavar="TASK_ID", show_default=False, help="The id of a task."),
    ],
    as_json: AsJson = False,
) -> None:
    """Say where a task is, or why it does not run.

    Nothing is changed. Where nothing knows the task, this looks twice, some seconds apart: a
    worker that has just taken it needs so long to say so.
    """
    with command_context("explain", huey_name) as huey:
        task_id = task_id.strip()
        if not task_id:
            raise WrongUse("give the id of a task, as its result has it: result.id")
        with progress("looking for it") as tell:
            found = find(huey, task_id, on_progress=tell)
        if as_json:
            print_json(found.as_dict())
        elif found.known:
            view.print_task(found, huey_name)
        else:
            view.print_not_found(found, huey_name, huey)
    if not found.known:
        raise typer.Exit(NEEDS_PERSON)
