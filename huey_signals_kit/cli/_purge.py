"""``huey-signals purge``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from ..upkeep import LOCK_ERRORS, PurgeReport, purge_errors, validate_classes
from ._shared.command import Apply, AsJson, HueyName, command_context, print_json
from ._shared.exits import NEEDS_PERSON, WrongUse
from ._shared.progress import progress
from ._shared.tables import print_table
from ._shared.terminal import say, say_command

HELP = """\b
Exit codes:
  0  done
  1  it could not go on, or something (it says what) kept it from deleting
  2  wrong use

\b
Examples:
  huey-signals purge tasks.huey
  huey-signals purge tasks.huey --apply
  huey-signals purge tasks.huey --exception MyBusyError --apply
  huey-signals purge tasks.huey --kept --apply
"""


def purge(
    huey_name: HueyName,
    apply: Apply = False,
    exception: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="Errors of this class, named without its module; may be given again. "
            f"[default: {', '.join(LOCK_ERRORS)}]",
        ),
    ] = None,
    kept: Annotated[
        bool,
        typer.Option(
            "--kept",
            help='Also errors that were stored on purpose: by lock_errors="keep" of a task, or '
            "by a handler's KEEP.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete stored errors: those that lock skips left, or of the classes you name.

    Errors of tasks that will run again stay, as do parts of a chord, errors that were stored on
    purpose (without --kept), and values that cannot be read. Code that still waits for a deleted
    error waits in vain. Without --apply nothing is deleted.
    """
    with command_context("purge", huey_name) as huey:
        classes = _checked(exception or list(LOCK_ERRORS))
        with progress("reading results") as tell:
            found = purge_errors(
                huey,
                classes,
                not apply,
                kept=kept,
                on_progress=lambda report: tell(_so_far(report)),
            )
        if as_json:
            print_json(asdict(found))
        else:
            options = [word for name in exception or [] for word in ("--exception", name)]
            _show(found, huey_name, [*options, *(["--kept"] if kept else [])], classes)
        if found.stopped:
            typer.echo(f"huey-signals purge: nothing more was deleted: {found.stopped}", err=True)
    if found.stopped:
        raise typer.Exit(NEEDS_PERSON)


def _checked(names: list[str]) -> list[str]:
    try:
        return sorted(validate_classes(names))
    except ValueError as exc:
        text = str(exc).replace("exceptions= of purge_errors()", "--exception")
        raise WrongUse(text) from None


def _so_far(report: PurgeReport) -> str:
    deleted = f", {report.deleted:,} deleted" if report.deleted and not report.dry_run else ""
    return f"{report.scanned:,} read{deleted}"


def _show(found: PurgeReport, huey_name: str, options: list[str], classes: list[str]) -> None:
    if found.dry_run:
        say("A dry run: nothing is changed.")
        say()
    print_table(("stored errors", "number", ""), _rows(found, classes), numbers=(1,))
    say()
    if found.dry_run and found.deleted:
        say("To do it:")
        say_command("purge", huey_name, "--apply", *options)


def _rows(found: PurgeReport, classes: list[str]) -> list[tuple[Any, ...]]:
    would = "would be " if found.dry_run else ""
    rows = [
        ("all", found.errors, f"of any class, in {found.scanned:,} keys"),
        ("matched", found.matched, ", ".join(classes)),
        (f"{would}deleted", found.deleted, ""),
        ("pending", found.pending, "left alone: their tasks will run again"),
        ("expiring", found.expiring, "left alone: they go by themselves"),
        ("kept", found.kept, "left alone: stored on purpose; --kept deletes them too"),
        ("undecided", found.undecided, "left alone: replaced meanwhile, or nobody can say"),
        ("unreadable", found.unreadable, "results that cannot be read; left alone"),
    ]
    return [row for row in rows if row[1] or row[0] in ("all", "matched", rows[2][0])]
