"""The options and exit codes of ``huey-signals explain``."""

from __future__ import annotations

from typing import Annotated

import typer

from ...upkeep import explain as find
from .._shared.command import AsJson, HueyName, command_context, print_json
from .._shared.exits import NEEDS_ATTENTION, UsageError
from .._shared.progress import progress
from . import view

HELP = """\b
The command searches the queue, the schedule, running tasks (of consumers with
the kit), later stages and on_error tasks, chords, tokens, locks, recent lock
skips and results, which it does not delete. Times are in the time zone of
the Huey.

\b
Exit codes:
  0  something is known of the task
  1  nothing is known of it, or the storage failed
  2  usage error

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
    """Show where a task is, or why it does not run.

    Nothing is changed. If the task is not found, the command looks again some seconds later,
    because a worker that has just dequeued it has not yet written so.
    """
    with command_context("explain", huey_name) as huey:
        task_id = task_id.strip()
        if not task_id:
            raise UsageError("give the id of a task, as its result has it: result.id")
        with progress("looking for the task") as show_status:
            explanation = find(huey, task_id, on_progress=show_status)
        if as_json:
            print_json(explanation.as_dict())
        elif explanation.known:
            view.print_task(explanation, huey_name)
        else:
            view.print_not_found(explanation, huey_name, huey)
    if not explanation.known:
        raise typer.Exit(NEEDS_ATTENTION)
