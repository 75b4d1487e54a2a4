"""Revoke tokens and pause switches as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timezone
from shlex import quote

import typer

from ...upkeep import TaskLocation, TokenInfo, TokensDeleted
from .._shared.dry_run import print_apply_command, print_dry_run_notice
from .._shared.folding import ID_LENGTH, fold
from .._shared.tables import print_table
from .._shared.terminal import output_width, print_text, printable
from .._shared.wording import pluralize

_COLUMNS = (("KIND", 5), ("STATE", 10), ("REVOKED UNTIL", 22))
"""Titles and widths of the columns before the name; a narrow terminal leaves out the last ones."""
_NAME_TITLE = "ID, OR NAME OF THE TASK"
_KINDS = {"pause_switch": "pause"}


def _validity(token: TokenInfo, zone: str) -> str:
    """Return until when `token` keeps its task from running.

    Args:
        token: The token.
        zone: The time zone of the Huey, for a time without one.
    """
    if token.state == "unreadable":
        return "?"
    if token.once:
        return "the next run"
    if token.until is None:
        return "forever"
    if token.until.tzinfo is not None:
        return f"{token.until.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
    return f"{token.until:%Y-%m-%d %H:%M} {zone}"


class TextList:
    """A list with a line per token, printed as soon as the token is read.

    There may be millions of tokens, so the columns have fixed widths instead of waiting for the
    longest name.
    """

    def __init__(self, zone: str) -> None:
        """Start an empty list.

        Args:
            zone: The time zone of the Huey.
        """
        self._shown = 0
        self._zone = zone
        width = output_width()
        self._columns = list(_COLUMNS)
        while self._columns and sum(self._widths()) + len(self._columns) + ID_LENGTH > width:
            self._columns.pop()
        self._name_width = width - sum(self._widths()) - len(self._columns)

    def _widths(self) -> list[int]:
        return [width for _, width in self._columns]

    def add(self, token: TokenInfo) -> None:
        """Print the line of `token`, after the titles if it is the first."""
        if not self._shown:
            self._print([title for title, _ in self._columns], _NAME_TITLE)
        self._shown += 1
        kind = _KINDS.get(token.kind, token.kind)
        cells = [kind, token.state, _validity(token, self._zone)]
        self._print(cells[: len(self._columns)], printable(token.name))

    def _print(self, cells: list[str], name: str) -> None:
        start = "".join(
            f"{cell:{width}} " for cell, width in zip(cells, self._widths(), strict=True)
        )
        for line in fold(name, self._name_width):
            typer.echo(f"{start}{line}")
            start = " " * len(start)

    def finish(self, matched: int) -> None:
        """Print what the list leaves out.

        Args:
            matched: How many tokens there are, those not shown included.
        """
        if matched > self._shown:
            print_text(f"and {matched - self._shown:,} more; --limit 0 shows all")
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


def print_token(token: TokenInfo, locations: Iterable[TaskLocation], zone: str) -> None:
    """Print all that is known of one token.

    Args:
        token: The token.
        zone: The time zone of the Huey.
        locations: Where its task was found.
    """
    rows = [
        ("kind", token.kind.replace("_", " ")),
        ("state", token.state),
        ("revoked until", _validity(token, zone)),
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
