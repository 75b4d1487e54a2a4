"""The options and exit codes of ``huey-signals report``."""

from __future__ import annotations

import typer

from ...upkeep import report as make_report
from .._shared.command import AsJson, HueyName, command_context, print_json
from .._shared.exits import NEEDS_ATTENTION
from .._shared.progress import progress
from .._shared.terminal import print_error
from . import view

HELP = """\b
Exit codes:
  0  nothing needs a person; sweep and purge delete what is no longer needed
  1  something needs a person: values, messages or records that cannot be
     read, locks of dead processes, pause switches of tasks that this Huey
     does not have, messages that wait while every known consumer is dead, or
     lock errors while no consumer with the kit is known; or the storage
     failed
  2  usage error, for example no such Huey

\b
Examples:
  huey-signals report tasks.huey
  huey-signals report tasks.huey --json | python -m json.tool
"""


def report(huey_name: HueyName, as_json: AsJson = False) -> None:
    """Count what is stored and waiting, and show who works on it.

    Nothing is changed. All keys are read, in batches that do not block the server.
    """
    with command_context("report", huey_name) as huey:
        with progress("reading the store"):
            content = make_report(huey)
        problems = view.find_problems(content, huey)
        if as_json:
            print_json(content.as_dict())
            for problem in problems:
                print_error("report", problem)
        else:
            view.print_report(content, huey_name, problems)
    if problems:
        raise typer.Exit(NEEDS_ATTENTION)
