"""Revoke tokens as a person, or a program, reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from shlex import quote

import typer
from rich.cells import cell_len, set_cell_size

from ...upkeep import TaskLocation, TokenInfo, TokensDeleted
from .._shared.tables import counted, print_table
from .._shared.terminal import WIDTH, say, say_command, shown

_COLUMNS = "{:5} {:10} {:22} {}"
_KINDS = {"pause_switch": "pause"}
_NAME_WIDTH = WIDTH - len(_COLUMNS.format("", "", "", ""))


def says(token: TokenInfo) -> str:
    """How long it keeps its task from running."""
    if token.state == "unreadable":
        return "?"
    if token.once:
        return "once"
    return "for ever" if token.until is None else f"until {token.until:%Y-%m-%d %H:%M}"


class TextList:
    """A line for each, as soon as it comes."""

    def __init__(self) -> None:
        self._shown = 0
        self._shortened = False

    def add(self, token: TokenInfo) -> None:
        """One line."""
        if not self._shown:
            typer.echo(_COLUMNS.format("KIND", "STATE", "REVOKED", "ID, OR NAME OF THE TASK"))
        self._shown += 1
        kind = _KINDS.get(token.kind, token.kind)
        typer.echo(_COLUMNS.format(kind, token.state, says(token), self._name(token)))

    def _name(self, token: TokenInfo) -> str:
        name = shown(token.name)
        if cell_len(name) <= _NAME_WIDTH:
            return name
        self._shortened = True
        return set_cell_size(name, _NAME_WIDTH - 1) + "…"

    def end(self, matched: int) -> None:
        """What is not shown."""
        if matched > self._shown:
            say(f"and {matched - self._shown:,} more; --limit 0 shows all")
        if self._shortened:
            say("Names that end in … are longer; --json has them whole.")
        if not matched:
            say("No revoke tokens and no pause switches.")


class JsonList:
    """One JSON object, written a piece at a time."""

    def __init__(self) -> None:
        self._shown = 0

    def add(self, token: TokenInfo) -> None:
        """One item of its list."""
        typer.echo(("," if self._shown else '{"tokens": [') + "\n  ", nl=False)
        typer.echo(json.dumps(token.as_dict()), nl=False)
        self._shown += 1

    def end(self, matched: int) -> None:
        """The end of the list, and how many there are."""
        start = "\n" if self._shown else '{"tokens": ['
        typer.echo(f'{start}], "shown": {self._shown}, "matched": {matched}}}')


def show(token: TokenInfo, where: Iterable[TaskLocation]) -> None:
    """All of one token."""
    rows = [
        ("kind", token.kind.replace("_", " ")),
        ("state", token.state),
        ("revoked", says(token)),
        ("in the store", f"{token.entry.key}, {counted(token.entry.size, 'byte')}"),
        *(("its task", _standing(each)) for each in dict.fromkeys(where)),
    ]
    print_table(("name", token.name), rows)


def _standing(each: TaskLocation) -> str:
    place = {"queue": "in the queue", "schedule": "in the schedule"}.get(each.place, each.place)
    return f"{place}, {'nested in ' if each.nested else ''}{each.task_name}"


def deleted(found: TokensDeleted, huey_name: str, patterns: list[str]) -> None:
    """What was, or would be, deleted, and what that does."""
    if not found.matched:
        return
    if found.dry_run:
        say("A dry run: nothing is changed.")
        say()
    would = "would be deleted" if found.dry_run else "deleted"
    rows = [*sorted(found.states.items()), (would, found.deleted)]
    if found.changed:
        rows.append(("changed meanwhile, left alone", found.changed))
    print_table(("tokens and pause switches", "number"), rows, numbers=(1,))
    if found.stopping:
        say()
        say(_effect(found))
    if found.dry_run:
        say()
        say("To do it:")
        say_command("tokens delete", huey_name, *map(quote, patterns), "--apply")


def _effect(found: TokensDeleted) -> str:
    live, paused = found.states.get("live", 0), found.states.get("active", 0)
    what = [counted(live, "stopped task")] if live else []
    what += [f"all runs of {counted(paused, 'paused task')}"] if paused else []
    return f"This {'would let' if found.dry_run else 'lets'} {' and '.join(what)} come to run."
