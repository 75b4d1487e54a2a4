"""The options and exit codes of ``huey-signals tokens``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from ...upkeep import TokenList, delete_named_tokens, find_task
from .._shared.command import Apply, AsJson, HueyName, command_context, print_json
from .._shared.durations import zone_of
from .._shared.exits import NEEDS_ATTENTION, CommandError
from .._shared.list_by_default import ListByDefault
from .._shared.terminal import printable, program
from .._shared.work_so_far import deletions
from . import view

tokens = typer.Typer(cls=ListByDefault, no_args_is_help=True, rich_markup_mode=None)

_PATTERN = "Id of a task, name of a task, or a glob over these, as in 'report-*'."

HELP = """\b
A revoke token (r:ID in the store) keeps one task from running. A pause
switch (rt:MODULE.NAME) keeps every run of a task from running. A glob that
begins with r: or rt: matches only tokens or only switches.

\b
States of a revoke token:
  live        its task may still run
  custom      its id was not made by Huey: it may be enqueued at any time
  orphaned    no trace of its task; sweep deletes the token in time
  unknown     a message or a record that cannot be read may have its task
  unreadable  the token itself cannot be read

\b
States of a pause switch:
  active      it keeps its task from running
  expired     its time is over
  ownerless   this Huey has no such task
  unreadable  the switch itself cannot be read
"""

EXAMPLES = """\b
Exit codes:
  0  done
  1  nothing has that name, a token changed meanwhile, or the storage failed
  2  usage error

\b
Examples:
  huey-signals tokens tasks.huey
  huey-signals tokens list tasks.huey 'rt:*' --limit 0
  huey-signals tokens show tasks.huey nightly-report
  huey-signals tokens delete tasks.huey 'nightly-*' --apply
"""


@tokens.callback(epilog=HELP)
def describe_group() -> None:
    """List, show and delete revoke tokens and pause switches."""


@tokens.command("list", epilog=EXAMPLES)
def list_tokens(
    huey_name: HueyName,
    pattern: Annotated[
        str | None, typer.Argument(metavar="PATTERN", show_default=False, help=_PATTERN)
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Number of tokens to show; 0 for all.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List revoke tokens and pause switches."""
    with command_context("tokens list", huey_name) as huey:
        patterns = [] if pattern is None else [pattern]
        output = view.JsonList() if as_json else view.TextList(zone_of(huey))
        matched = 0
        for token in TokenList(huey, patterns):
            matched += 1
            if not limit or matched <= limit:
                output.add(token)
        output.finish(matched)
        _validate_all_matched(patterns if not matched else [])


@tokens.command(epilog=EXAMPLES)
def show(
    huey_name: HueyName,
    name: Annotated[
        str, typer.Argument(metavar="ID", show_default=False, help="Id or name of a task.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show the state of one token, and where its task is."""
    with command_context("tokens show", huey_name) as huey:
        matches = [
            token for token in TokenList(huey, [name]) if name in (token.name, token.entry.key)
        ]
        _validate_all_matched([] if matches else [name])
        locations = {token.entry.key: find_task(huey, token.name) for token in matches}
        if as_json:
            print_json(
                [
                    {
                        **token.as_dict(),
                        "standings": [asdict(location) for location in locations[token.entry.key]],
                    }
                    for token in matches
                ]
            )
        else:
            for token in matches:
                view.print_token(token, locations[token.entry.key], zone_of(huey))


@tokens.command(epilog=EXAMPLES)
def delete(
    huey_name: HueyName,
    patterns: Annotated[
        list[str], typer.Argument(metavar="PATTERN...", show_default=False, help=_PATTERN)
    ],
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Delete tokens and pause switches by name.

    Unlike sweep, the command also deletes tokens of tasks that may still run: these tasks then run.
    Without --apply it says how many. A token that is written again meanwhile is left alone.
    """
    with command_context("tokens delete", huey_name) as huey:
        with deletions("reading tokens", "token") as on_progress:
            report = delete_named_tokens(huey, patterns, not apply, on_progress=on_progress)
        if as_json:
            print_json(asdict(report))
        else:
            view.print_deleted(report, huey_name, patterns)
        _validate_all_matched(report.unmatched)
    if report.changed:
        raise typer.Exit(NEEDS_ATTENTION)


def _validate_all_matched(unmatched: Sequence[str]) -> None:
    """Raise `CommandError` if there are patterns that nothing has matched."""
    if unmatched:
        names = ", ".join(repr(printable(pattern)) for pattern in unmatched)
        raise CommandError(
            f"no revoke token and no pause switch is named {names}; {program.name} tokens list "
            "shows all"
        )
