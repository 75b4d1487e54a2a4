"""``huey-signals sweep``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Annotated, Any

import typer

from ..upkeep import SweepReport, next_sweep, sweep_tokens
from ._shared.command import Apply, AsJson, HueyName, command_context, print_json
from ._shared.durations import format_seconds, parse_age
from ._shared.exits import NEEDS_PERSON
from ._shared.progress import progress
from ._shared.tables import print_table
from ._shared.terminal import say, say_command

DEFAULT_AGE = "1d"
_WAIT_SECONDS = 35.0
"""Longer than a sweep that was killed keeps others away."""

HELP = """\b
Exit codes:
  0  done
  1  it could not go on, or something (it says what) kept it from deleting
  2  wrong use

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
            metavar="AGE", help="How far apart the two looks have to be: 3600, 90m, 12h, 1d."
        ),
    ] = DEFAULT_AGE,
    as_json: AsJson = False,
) -> None:
    """Delete revoke tokens of tasks that are nowhere any more.

    A token goes when two sweeps, at least AGE apart, have both found its task nowhere: not in
    the queue, not in the schedule, not running, and nested in none that is. So the first
    sweep only marks; run it every day, from cron say. Without --apply it says what it would do.
    """
    with command_context("sweep", huey_name) as huey:
        age = parse_age(min_age, "--min-age")
        with progress("sweeping tokens") as tell:
            found = sweep_tokens(
                huey,
                age,
                not apply,
                wait=_WAIT_SECONDS,
                on_progress=lambda report: tell(_so_far(report)),
            )
        due = next_sweep(huey, age)
        if as_json:
            print_json({**asdict(found), "next_due": None if due is None else due.isoformat()})
        else:
            _show(found, huey_name, age, min_age, due)
        if found.stopped:
            typer.echo(f"huey-signals sweep: nothing more was deleted: {found.stopped}", err=True)
    if found.stopped:
        raise typer.Exit(NEEDS_PERSON)


def _so_far(report: SweepReport) -> str:
    deleted = f", {report.deleted:,} deleted" if report.deleted else ""
    return f"{report.scanned:,} read{deleted}"


def _show(
    found: SweepReport, huey_name: str, age: float, min_age: str, due: datetime | None
) -> None:
    if found.dry_run:
        say("A dry run: nothing is changed.")
        say()
    print_table(("revoke tokens", "number", ""), _rows(found, age), numbers=(1,))
    say()
    if found.marked or found.deleted or due:
        say(
            f"A token is deleted when two sweeps, at least {format_seconds(age)} apart, have found "
            f"its task nowhere: the first only marks it.{_due(due)}"
        )
    if found.dry_run and (found.marked or found.deleted):
        say()
        say("To do it:")
        say_command("sweep", huey_name, "--apply", *_options(min_age))


def _options(min_age: str) -> list[str]:
    return [] if min_age == DEFAULT_AGE else ["--min-age", min_age]


def _due(due: datetime | None) -> str:
    if due is None:
        return ""
    if due <= datetime.now(timezone.utc):
        return " The next sweep is due now."
    return f" The next sweep is due {due:%Y-%m-%d %H:%M:%S} UTC."


def _rows(found: SweepReport, age: float) -> list[tuple[Any, ...]]:
    would = "would be " if found.dry_run else ""
    rows = [
        ("live", found.live, "their tasks may still come to run"),
        ("custom", found.custom, "for ids that Huey has not made; never deleted"),
        (f"{would}marked", found.marked, "orphaned, and to be looked at again"),
        (f"{would}deleted", found.deleted, f"orphaned twice, {format_seconds(age)} apart"),
        ("undecided", found.undecided, "left alone: unreadable, changed, or in doubt"),
    ]
    kept = [row for row in rows if row[1] or row[0].endswith("deleted")]
    return [*kept, ("all", found.scanned, f"read in {found.seconds:.1f} s")]
