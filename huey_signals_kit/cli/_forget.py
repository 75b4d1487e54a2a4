"""The command ``huey-signals forget``: delete what the kit has written."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from ..upkeep import Forgotten, StillInUse, forget_record
from ..upkeep import forget as forget_all
from ._shared.command import Apply, AsJson, HueyName, command_context, print_json
from ._shared.dry_run import print_apply_command, print_dry_run_notice
from ._shared.exits import CommandError
from ._shared.progress import progress
from ._shared.tables import print_table
from ._shared.terminal import print_text, printable
from ._shared.work_so_far import work_so_far

HELP = """\b
Exit codes:
  0  done
  1  nothing was deleted: a living process would write its record again (the
     message names it), or there is no record with this ID; or the storage
     failed
  2  usage error

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
            help="Delete only the record of one process, with the id that sweep or report shows. "
            "Its counters are added to the totals.",
        ),
    ] = None,
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Delete everything that the kit has written for the queue.

    Use it after the kit was removed from all processes, and stop those that still have it: a living
    process would write its record again. Results, revoke tokens and locks belong to Huey and are
    left alone.
    """
    with command_context("forget", huey_name) as huey:
        if record is not None:
            _forget_record(huey, huey_name, record, apply, as_json)
            return
        deleted: dict[str, int] = {}
        with (
            progress("looking for living processes") as show_status,
            work_so_far(lambda: _describe_deleted(deleted, apply)),
        ):
            try:
                forgotten = forget_all(
                    huey,
                    not apply,
                    on_wait=lambda: show_status(""),
                    on_delete=lambda kind, number: deleted.update({kind: number}),
                )
            except StillInUse as exc:
                raise CommandError(printable(exc)) from None
        if as_json:
            print_json(asdict(forgotten))
        else:
            _print_forgotten(forgotten, huey_name)


def _describe_deleted(deleted: dict[str, int], apply: bool) -> str:
    """Return what was deleted before an interrupt, as the end of a sentence."""
    if not apply:
        return "nothing was changed"
    kinds = [f"{number:,} {kind}" for kind, number in deleted.items() if number]
    if not kinds:
        return "it is unknown whether anything was deleted; the same command deletes the rest"
    return f"these were deleted: {', '.join(kinds)}; the same command deletes the rest"


def _forget_record(huey: Any, huey_name: str, record: str, apply: bool, as_json: bool) -> None:
    try:
        exists = forget_record(huey, record, not apply)
    except StillInUse as exc:
        raise CommandError(printable(exc)) from None
    if as_json:
        print_json({"record": record, "found": exists, "dry_run": not apply})
    elif exists and apply:
        print_text(f"Deleted the record {printable(record)}.")
    elif exists:
        print_text(f"Dry run: the record {printable(record)} would be deleted.")
        print_apply_command("forget", huey_name, "--record", record, "--apply")
    if not exists:
        raise CommandError(f"the ledger has no record {printable(record)!r} that can be deleted")


def _print_forgotten(forgotten: Forgotten, huey_name: str) -> None:
    if forgotten.dry_run:
        print_dry_run_notice()
    title = "would be deleted" if forgotten.dry_run else "deleted"
    rows = [*forgotten.found.items(), ("all", forgotten.keys)]
    print_table((title, "number"), rows, numbers=(1,))
    for process in forgotten.silent:
        print_text()
        print_text(
            f"No recent heartbeat of {printable(process)}. If this process is alive, it will write "
            "its record again: stop it first."
        )
    if forgotten.dry_run and forgotten.keys:
        print_apply_command("forget", huey_name, "--apply")
