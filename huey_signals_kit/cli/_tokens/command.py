"""``huey-signals tokens``: revoke tokens and pause switches one by one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ...upkeep import TokenInfo, TokenList, TokensDeleted, delete_named_tokens, find_task
from .._shared.command import Apply, AsJson, HueyName, command_context, print_json
from .._shared.exits import NEEDS_PERSON, CommandError
from .._shared.progress import progress
from .._shared.terminal import shown
from . import view

tokens = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_PATTERN = "the id of a task, the name of one, or a glob over these, as in 'report-*'"

HELP = """\b
A token keeps one task from running (r:ID in the store), a pause switch every
run of a task (rt:MODULE.NAME). A glob that begins with r: or rt: is only about
one of them.

\b
States:
  live       its task may still come to run
  custom     for an id that Huey has not made: it may be enqueued any time
  orphaned   its task stands nowhere; sweep deletes it in time
  unknown    a message or a record that cannot be read may hold its task
  active, expired, ownerless (of no task here)   for a pause switch
  unreadable
"""

EXAMPLES = """\b
Exit codes: 0 done, 1 nothing has that name, or the storage failed, 2 wrong use

\b
Examples:
  huey-signals tokens list tasks.huey
  huey-signals tokens list tasks.huey 'rt:*' --limit 0
  huey-signals tokens show tasks.huey nightly-report
  huey-signals tokens delete tasks.huey 'nightly-*' --apply
"""


@tokens.callback(epilog=HELP)
def about() -> None:
    """List, show and delete revoke tokens and pause switches."""


@tokens.command("list", epilog=EXAMPLES)
def list_tokens(
    huey_name: HueyName,
    pattern: Annotated[
        str | None, typer.Argument(metavar="PATTERN", show_default=False, help=_PATTERN)
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Show so many; 0 for all.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List revoke tokens and pause switches, and count those that are not shown."""
    with command_context("tokens list", huey_name) as huey:
        patterns = [] if pattern is None else [pattern]
        out = view.JsonList() if as_json else view.TextList()
        matched = 0
        for each in TokenList(huey, patterns):
            matched += 1
            if not limit or matched <= limit:
                out.add(each)
        out.end(matched)
        _refuse_unmatched(patterns if not matched else [])


@tokens.command(epilog=EXAMPLES)
def show(
    huey_name: HueyName,
    name: Annotated[
        str, typer.Argument(metavar="ID", show_default=False, help="The id or the name of a task.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show all that is known of one token: what it says, and where its task stands."""
    with command_context("tokens show", huey_name) as huey:
        found = [each for each in TokenList(huey, [name]) if _is_exactly(name, each)]
        _refuse_unmatched([] if found else [name])
        where = {each.entry.key: find_task(huey, each.name) for each in found}
        if as_json:
            dicts = [
                {**each.as_dict(), "standings": list(map(asdict, where[each.entry.key]))}
                for each in found
            ]
            print_json(dicts)
        else:
            for each in found:
                view.show(each, where[each.entry.key])


def _is_exactly(name: str, token: TokenInfo) -> bool:
    return name in (token.name, token.entry.key)


@tokens.command(epilog=EXAMPLES)
def delete(
    huey_name: HueyName,
    patterns: Annotated[
        list[str], typer.Argument(metavar="PATTERN...", show_default=False, help=_PATTERN)
    ],
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Delete exactly what you name, live or not; what it kept from running runs then.

    A token that is written again while this runs stays. Without --apply it says what it would
    do, and how many stopped tasks that lets run.
    """
    with command_context("tokens delete", huey_name) as huey:
        with progress("reading tokens") as tell:
            found = delete_named_tokens(
                huey, patterns, not apply, on_progress=lambda report: tell(_so_far(report))
            )
        if as_json:
            print_json(asdict(found))
        else:
            view.deleted(found, huey_name, patterns)
        _refuse_unmatched(found.unmatched)
    if found.changed:
        raise typer.Exit(NEEDS_PERSON)


def _so_far(report: TokensDeleted) -> str:
    return f"{report.scanned:,} read, {report.matched:,} matched"


def _refuse_unmatched(patterns: list[str] | tuple[str, ...]) -> None:
    if patterns:
        names = ", ".join(repr(shown(each)) for each in patterns)
        raise CommandError(
            f"no revoke token and no pause switch is named {names}; huey-signals tokens list shows "
            "all"
        )
