"""Revoke tokens and pause switches as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from shlex import quote

import typer
from rich.cells import cell_len, set_cell_size

from ...upkeep import TaskLocation, TokenInfo, TokensDeleted
from .._shared.dry_run import print_apply_command, print_dry_run_notice
from .._shared.tables import print_table
from .._shared.terminal import WIDTH, print_text, printable
from .._shared.wording import pluralize

_COLUMNS = "{:5} {:10} {:22} {}"
_KINDS = {"pause_switch": "pause"}
_NAME_WIDTH = WIDTH - len(_COLUMNS.format("", "", "", ""))


def _validity(token: TokenInfo) -> str:
    """Return for how long `token` keeps its task from running."""
    if token.state == "unreadable":
        return "?"
    if token.once:
        return "once"
    return "for ever" if token.until is None else f"until {token.until:%Y-%m-%d %H:%M}"


class TextList:
    """A list with a line per token, printed as soon as the token is read.

    There may be millions of tokens, so the columns have fixed widths instead of waiting for the
    longest name.
    """

    def __init__(self) -> None:
        """Start an empty list."""
        self._shown = 0
        self._has_shortened_names = False

    def add(self, token: TokenInfo) -> None:
        """Print the line of `token`, after the titles if it is the first."""
        if not self._shown:
            typer.echo(_COLUMNS.format("KIND", "STATE", "REVOKED", "ID, OR NAME OF THE TASK"))
        self._shown += 1
        kind = _KINDS.get(token.kind, token.kind)
        typer.echo(_COLUMNS.format(kind, token.state, _validity(token), self._fit_name(token)))

    def _fit_name(self, token: TokenInfo) -> str:
        name = printable(token.name)
        if cell_len(name) <= _NAME_WIDTH:
            return name
        self._has_shortened_names = True
        return set_cell_size(name, _NAME_WIDTH - 1) + "…"

    def finish(self, matched: int) -> None:
        """Print what the list leaves out.

        Args:
            matched: How many tokens there are, those not shown included.
        """
        if matched > self._shown:
            print_text(f"and {matched - self._shown:,} more; --limit 0 shows all")
        if self._has_shortened_names:
            print_text("Names that end in … are shortened; --json shows them whole.")
        if not matched:
            print_text("No revoke tokens and no pause switches.")


class JsonList:
    """The same list as one JSON object, written a token at a time."""

    def __init__(self) -> None:
        """Start an empty list."""
        self._shown = 0

    def add(self, token: TokenInfo) -> None:
        """Print `token` as an item of the list."""
        typer.echo(("," if self._shown else '{"tokens": [') + "\n  ", nl=False)
        typer.echo(json.dumps(token.as_dict()), nl=False)
        self._shown += 1

    def finish(self, matched: int) -> None:
        """Print the end of the list.

        Args:
            matched: How many tokens there are, those not shown included.
        """
        start = "\n" if self._shown else '{"tokens": ['
        typer.echo(f'{start}], "shown": {self._shown}, "matched": {matched}}}')


def print_token(token: TokenInfo, locations: Iterable[TaskLocation]) -> None:
    """Print all that is known of one token.

    Args:
        token: The token.
        locations: Where its task was found.
    """
    rows = [
        ("kind", token.kind.replace("_", " ")),
        ("state", token.state),
        ("revoked", _validity(token)),
        ("in the store", f"{token.entry.key}, {pluralize(token.entry.size, 'byte')}"),
        *(("its task", _describe_location(location)) for location in dict.fromkeys(locations)),
    ]
    print_table(("name", token.name), rows)


def _describe_location(location: TaskLocation) -> str:
    places = {"queue": "in the queue", "schedule": "in the schedule"}
    place = places.get(location.place, location.place)
    return f"{place}, {'nested in ' if location.nested else ''}{location.task_name}"


def print_deleted(report: TokensDeleted, huey_name: str, patterns: list[str]) -> None:
    """Print what was or would be deleted, and which tasks that lets run.

    Args:
        report: What was deleted.
        huey_name: The Huey as named by the user, for the command to copy.
        patterns: The patterns given by the user, for the same.
    """
    if not report.matched:
        return
    if report.dry_run:
        print_dry_run_notice()
    title = "would be deleted" if report.dry_run else "deleted"
    rows = [*sorted(report.states.items()), (title, report.deleted)]
    if report.changed:
        rows.append(("changed meanwhile, left alone", report.changed))
    print_table(("tokens and pause switches", "number"), rows, numbers=(1,))
    if report.stopping:
        print_text()
        print_text(_describe_effect(report))
    if report.dry_run:
        print_apply_command("tokens delete", huey_name, *map(quote, patterns), "--apply")


def _describe_effect(report: TokensDeleted) -> str:
    live, paused = report.states.get("live", 0), report.states.get("active", 0)
    tasks = [pluralize(live, "revoked task")] if live else []
    tasks += [f"every run of {pluralize(paused, 'paused task')}"] if paused else []
    return f"This {'would let' if report.dry_run else 'lets'} {' and '.join(tasks)} start."
