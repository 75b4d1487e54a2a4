"""The options and exit codes of ``huey-signals report``."""

from __future__ import annotations

from typing import Annotated

import typer

from ...upkeep import report as make_report
from .._shared.command import AsJson, HueyName, command_context, print_json
from .._shared.exits import NEEDS_ATTENTION
from .._shared.progress import progress
from .._shared.terminal import print_error
from . import view
from .problems import find_problems

HELP = """\b
Exit codes:
  0  nothing needs attention; sweep and purge delete what is no longer needed
  1  something needs attention: values, messages or records that cannot be
     read, locks of dead processes, pause switches of tasks that this Huey
     does not have, messages that wait while every known consumer is dead, or
     lock errors while no consumer with the kit is known; or the storage
     failed
  2  usage error, for example no such Huey

\b
Examples:
  huey-signals report tasks.huey
  huey-signals report tasks.huey --details
  huey-signals report tasks.huey --json | python -m json.tool
"""


def report(
    huey_name: HueyName,
    details: Annotated[
        bool, typer.Option("--details", help="Print also tables of all counts and processes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what needs attention, what is stored, and which processes run.

    Nothing is changed. All keys are read, in batches that do not block the server.
    """
    with command_context("report", huey_name) as huey:
        with progress("reading the store"):
            content = make_report(huey)
        problems = find_problems(content, huey)
        if as_json:
            print_json(content.as_dict())
            for problem in problems:
                print_error("report", problem.text)
        else:
            view.print_report(content, huey, huey_name, problems, details)
    if problems:
        raise typer.Exit(NEEDS_ATTENTION)
