"""What ``huey-signals purge`` prints."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ...upkeep import PurgeReport, ResultPurgeReport
from .._shared.dry_run import print_apply_command, print_dry_run_notice
from .._shared.durations import format_seconds, format_span, format_time
from .._shared.tables import print_table
from .._shared.terminal import print_text
from .._shared.wording import pluralize


def print_errors(
    report: PurgeReport, huey_name: str, options: list[str], classes: list[str]
) -> None:
    """Print the report of a purge of errors."""
    if report.dry_run:
        print_dry_run_notice()
    print_table(("stored errors", "number", ""), _error_rows(report, classes), numbers=(1,))
    if report.dry_run and report.deleted:
        print_apply_command("purge", huey_name, "--apply", *options)


def print_results(
    report: ResultPurgeReport,
    huey_name: str,
    options: list[str],
    min_age: float,
    due: datetime | None,
) -> None:
    """Print the report of a purge of results.

    Args:
        report: The report.
        huey_name: The Huey as the user has named it.
        options: The options for the command that makes the changes.
        min_age: Seconds between two purges that find a result unchanged.
        due: The time from which on a purge deletes the result with the oldest mark.
    """
    if report.dry_run:
        print_dry_run_notice()
    print_table(("results", "number", ""), _result_rows(report, min_age), numbers=(1,))
    if text := _explain(report, min_age, due):
        print_text()
        print_text(text)
    if report.dry_run and (report.new or report.deleted):
        print_apply_command("purge", huey_name, *options, "--apply")


def _error_rows(report: PurgeReport, classes: list[str]) -> list[tuple[Any, ...]]:
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


def _result_rows(report: ResultPurgeReport, min_age: float) -> list[tuple[Any, ...]]:
    would_be, age = "would be " if report.dry_run else "", format_seconds(min_age)
    deleted = f"{would_be}deleted"
    rows = [
        (deleted, report.deleted, f"unchanged in two purges, {age} apart"),
        (f"{would_be}marked", report.new, "seen for the first time, or changed"),
        ("waiting", report.waiting, f"left alone: marked less than {age} ago"),
        ("live", report.live, "left alone: their tasks wait or run, or a task may fetch them"),
        ("unmarked", report.unmarked, "left alone: too many to be marked now"),
        ("undecided", report.undecided, "left alone: fetched or replaced, or in doubt"),
        ("errors", report.errors, "left alone: see purge without --results"),
        ("unreadable", report.unreadable, "left alone: these values cannot be read"),
    ]
    rows = [row for row in rows if row[1] or row[0] == deleted]
    span = f"in {report.scanned:,} keys, read in {format_span(report.seconds)}"
    return [*rows, ("all", report.results, span)]


def _explain(report: ResultPurgeReport, min_age: float, due: datetime | None) -> str:
    """Return the sentences about what comes next; empty if nothing does."""
    age, sentences = format_seconds(min_age), []
    if report.new:
        seen = f"{pluralize(report.new, 'result')} seen for the first time"
        marks = " With --apply, this purge marks them." if report.dry_run else ""
        sentences.append(
            f"{seen}.{marks} Results that are still unchanged after {age} are deleted by the next "
            "purge --results --apply."
        )
    if due is not None and due > datetime.now(timezone.utc):
        sentences.append(f"The next results can be deleted from {format_time(due)} UTC on.")
    return " ".join(sentences)
