"""``huey-signals report``."""

from __future__ import annotations

import typer

from ...upkeep import report as make_report
from .._shared.command import AsJson, HueyName, command_context, print_json
from .._shared.exits import NEEDS_PERSON
from .._shared.progress import waiting
from . import view

EXIT_CODES = """\b
Exit codes:
  0  nothing here needs a person; what is garbage, sweep and purge remove
  1  something does: values, messages or records that cannot be read, locks
     of dead processes, pause switches of tasks that this Huey does not have,
     messages that only dead consumers would take, or lock errors while no
     consumer with the kit is known; or the storage cannot be used
  2  wrong use: there is no such Huey, say

\b
Examples:
  huey-signals report tasks.huey
  huey-signals report tasks.huey --json | python -m json.tool
"""


def report(huey_name: HueyName, as_json: AsJson = False) -> None:
    """Count what is stored and waits, and show who works on it.

    Nothing is changed. All keys are read, in batches that block no server.
    """
    with command_context("report", huey_name) as huey:
        with waiting("reading the store"):
            found = make_report(huey)
        problems = view.problems(found, huey)
        if as_json:
            print_json(found.as_dict())
            for each in problems:
                typer.echo(f"huey-signals report: {each}", err=True)
        else:
            view.show(found, huey_name, problems)
    if problems:
        raise typer.Exit(NEEDS_PERSON)
