"""``huey-signals forget``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from ..upkeep import Forgotten, StillInUse, forget_record
from ..upkeep import forget as forget_all
from ._shared.command import Apply, AsJson, HueyName, command_context, print_json
from ._shared.exits import CommandError
from ._shared.progress import progress
from ._shared.tables import print_table
from ._shared.terminal import say, say_command, shown

HELP = """\b
Exit codes:
  0  done
  1  a living process would write it again (the message names it), or there is no
     such record
  2  wrong use

\b
Examples:
  huey-signals forget tasks.huey
  huey-signals forget tasks.huey --apply
  huey-signals forget tasks.huey --record 0b0c6e2f8d1c4b6f9a1d --apply
"""


def forget(
    huey_name: HueyName,
    record: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            show_default=False,
            help="Only the record of this process, as named by sweep or report; its counters are "
            "added to the totals.",
        ),
    ] = None,
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Delete everything that the kit has written for the queue, such as after removing the kit.

    Results, revoke tokens and locks belong to Huey and stay. Stop the processes with the kit first:
    a living process would write its record again. Without --apply nothing is deleted.
    """
    with command_context("forget", huey_name) as huey:
        if record is not None:
            _forget_record(huey, huey_name, record, apply, as_json)
            return
        with progress("looking for living processes") as tell:
            try:
                found = forget_all(huey, not apply, on_wait=lambda: tell(""))
            except StillInUse as exc:
                raise CommandError(shown(exc)) from None
        if as_json:
            print_json(asdict(found))
        else:
            _show(found, huey_name)


def _forget_record(huey: Any, huey_name: str, record: str, apply: bool, as_json: bool) -> None:
    try:
        there = forget_record(huey, record, not apply)
    except StillInUse as exc:
        raise CommandError(shown(exc)) from None
    if as_json:
        print_json({"record": record, "found": there, "dry_run": not apply})
    elif there and apply:
        say(f"Deleted the record {shown(record)}.")
    elif there:
        say("A dry run: nothing is changed. To delete this record:")
        say_command("forget", huey_name, "--record", record, "--apply")
    if not there:
        raise CommandError(f"the ledger has no record {shown(record)!r} that can be deleted")


def _show(found: Forgotten, huey_name: str) -> None:
    if found.dry_run:
        say("A dry run: nothing is changed.")
        say()
    rows = [*found.found.items(), ("all", found.keys)]
    print_table(("would be deleted" if found.dry_run else "deleted", "number"), rows, numbers=(1,))
    for process in found.silent:
        say()
        say(f"Silent: {shown(process)}. If it is alive, it will write its record again: stop it.")
    if found.dry_run and found.keys:
        say()
        say("To do it:")
        say_command("forget", huey_name, "--apply")
