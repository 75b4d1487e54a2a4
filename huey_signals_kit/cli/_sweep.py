"""The command ``huey-signals sweep``: delete revoke tokens that have lost their task."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Annotated, Any

import typer

from ..upkeep import LEASE_WAIT_SECONDS, SweepReport, next_sweep, sweep_tokens
from ._shared.command import Apply, AsJson, HueyName, command_context, print_json
from ._shared.dry_run import print_apply_command, print_dry_run_notice
from ._shared.durations import format_seconds, format_span, format_time, parse_age
from ._shared.exits import NEEDS_ATTENTION
from ._shared.tables import print_table
from ._shared.terminal import print_error, print_text
from ._shared.work_so_far import deletions

DEFAULT_AGE = "1d"

HELP = """\b
Exit codes:
  0  done
  1  the storage failed, or something kept the sweep from deleting (the
     message says what)
  2  usage error

\b
Examples:
  huey-signals sweep tasks.huey
  huey-signals sweep tasks.huey --apply
  huey-signals sweep tasks.huey --apply --min-age 12h --json
"""


def sweep(
    huey_name: HueyName,
    apply: Apply = False,
    min_age: Annotated[
        str,
        typer.Option(
            metavar="AGE",
            help="Shortest time between the two sweeps that delete a token: 90m, 12h, 1d.",
        ),
    ] = DEFAULT_AGE,
    as_json: AsJson = False,
) -> None:
    """Delete revoke tokens of tasks that no longer exist.

    A token is deleted when two sweeps, at least AGE apart, have found no trace of its task: not in
    the queue, not in the schedule, not running, and not nested in such a task. The first sweep only
    marks the token, so run the command every day, for example with cron. A run without --apply
    marks nothing, so it does not count.
    """
    with command_context("sweep", huey_name) as huey:
        age = parse_age(min_age, "--min-age")
        with deletions("sweeping tokens", "token") as on_progress:
            report = sweep_tokens(
                huey, age, not apply, wait=LEASE_WAIT_SECONDS, on_progress=on_progress
            )
        due = next_sweep(huey, age)
        if as_json:
            print_json({**asdict(report), "next_due": None if due is None else due.isoformat()})
        else:
            _print_report(report, huey_name, age, min_age, due)
        if report.stopped:
            print_error("sweep", f"nothing more was deleted: {report.stopped}")
    if report.stopped:
        raise typer.Exit(NEEDS_ATTENTION)


def _print_report(
    report: SweepReport, huey_name: str, age: float, min_age: str, due: datetime | None
) -> None:
    if report.dry_run:
        print_dry_run_notice()
    print_table(("revoke tokens", "number", ""), _rows(report, age), numbers=(1,))
    if report.marked or report.deleted or due:
        print_text()
        print_text(
            f"A token is deleted when two sweeps, at least {format_seconds(age)} apart, have found "
            f"no trace of its task. The first sweep only marks it.{_describe_due(due)}"
        )
    if report.dry_run and (report.marked or report.deleted):
        options = [] if min_age == DEFAULT_AGE else ["--min-age", min_age]
        print_apply_command("sweep", huey_name, "--apply", *options)


def _describe_due(due: datetime | None) -> str:
    if due is None:
        return ""
    if due <= datetime.now(timezone.utc):
        return " The next sweep is due now."
    return f" The next sweep is due {format_time(due)} UTC."


def _rows(report: SweepReport, age: float) -> list[tuple[Any, ...]]:
    would_be = "would be " if report.dry_run else ""
    rows = [
        ("live", report.live, "left alone: their tasks may still run"),
        ("custom", report.custom, "left alone: ids not made by Huey"),
        (f"{would_be}marked", report.marked, "no trace of their tasks, for the first time"),
        (
            f"{would_be}deleted",
            report.deleted,
            f"no trace in two sweeps, {format_seconds(age)} apart",
        ),
        ("undecided", report.undecided, "left alone: unreadable, changed, or in doubt"),
    ]
    rows = [row for row in rows if row[1] or row[0].endswith("deleted")]
    return [*rows, ("all", report.scanned, f"read in {format_span(report.seconds)}")]
