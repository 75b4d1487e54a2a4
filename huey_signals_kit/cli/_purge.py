"""The command ``huey-signals purge``: delete stored errors."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from ..upkeep import LOCK_ERRORS, PurgeReport, purge_errors, validate_classes
from ._shared.command import Apply, AsJson, HueyName, command_context, print_json
from ._shared.dry_run import print_apply_command, print_dry_run_notice
from ._shared.exits import NEEDS_ATTENTION, UsageError
from ._shared.progress import progress
from ._shared.tables import print_table
from ._shared.terminal import print_error
from ._shared.work_so_far import Deletions, work_so_far

HELP = """\b
Exit codes:
  0  done
  1  the storage failed, or something kept the purge from deleting (the
     message says what)
  2  usage error

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
            help="Delete errors of this class, named without its module. Repeat the option for "
            f"several classes. [default: {', '.join(LOCK_ERRORS)}]",
        ),
    ] = None,
    kept: Annotated[
        bool,
        typer.Option(
            "--kept",
            help='Delete also errors that were stored on purpose: by lock_errors="keep" of a '
            "task, or by the verdict KEEP of a handler.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete stored lock errors, or stored errors of other classes.

    Errors of tasks that will run again, parts of a chord, errors that were stored on purpose
    (without --kept), and values that cannot be read are left alone. Code that waits for a deleted
    error without a timeout waits for ever.
    """
    with command_context("purge", huey_name) as huey:
        classes = _validate_names(exception or list(LOCK_ERRORS))
        with progress("reading results") as show_status:
            so_far = Deletions("key", lambda report: show_status(_status(report)))
            with work_so_far(so_far.describe):
                report = purge_errors(
                    huey, classes, not apply, kept=kept, on_progress=so_far.update
                )
        if as_json:
            print_json(asdict(report))
        else:
            options = [word for name in exception or [] for word in ("--exception", name)]
            options += ["--kept"] if kept else []
            _print_report(report, huey_name, options, classes)
        if report.stopped:
            print_error("purge", f"nothing more was deleted: {report.stopped}")
    if report.stopped:
        raise typer.Exit(NEEDS_ATTENTION)


def _validate_names(names: list[str]) -> list[str]:
    """Return the names of the classes, sorted; raise `UsageError` if one is no such name."""
    try:
        return sorted(validate_classes(names))
    except ValueError as exc:
        text = str(exc).replace("exceptions= of purge_errors()", "--exception")
        raise UsageError(text) from None


def _status(report: PurgeReport) -> str:
    deleted = f", {report.deleted:,} deleted" if report.deleted and not report.dry_run else ""
    return f"{report.scanned:,} read{deleted}"


def _print_report(
    report: PurgeReport, huey_name: str, options: list[str], classes: list[str]
) -> None:
    if report.dry_run:
        print_dry_run_notice()
    print_table(("stored errors", "number", ""), _rows(report, classes), numbers=(1,))
    if report.dry_run and report.deleted:
        print_apply_command("purge", huey_name, "--apply", *options)


def _rows(report: PurgeReport, classes: list[str]) -> list[tuple[Any, ...]]:
    deleted = "would be deleted" if report.dry_run else "deleted"
    rows = [
        ("all", report.errors, f"of any class, in {report.scanned:,} keys"),
        ("matched", report.matched, ", ".join(classes)),
        (deleted, report.deleted, ""),
        ("pending", report.pending, "left alone: their tasks will run again"),
        ("expiring", report.expiring, "left alone: they expire by themselves"),
        ("kept", report.kept, "left alone: stored on purpose (see --kept)"),
        ("undecided", report.undecided, "left alone: replaced meanwhile, or in doubt"),
        ("unreadable", report.unreadable, "left alone: these results cannot be read"),
    ]
    return [row for row in rows if row[1] or row[0] in ("all", "matched", deleted)]
