"""The options of ``huey-signals purge``, and what they start."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from ...upkeep import (
    LEASE_WAIT_SECONDS,
    LOCK_ERRORS,
    next_purge,
    purge_errors,
    purge_results,
    validate_classes,
)
from .._shared.command import Apply, AsJson, HueyName, command_context, print_json
from .._shared.durations import parse_age
from .._shared.exits import NEEDS_ATTENTION, UsageError
from .._shared.terminal import print_error
from .._shared.work_so_far import deletions
from .view import print_errors, print_results

DEFAULT_AGE = "7d"

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
  huey-signals purge tasks.huey --results --min-age 7d --apply
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
    results: Annotated[
        bool,
        typer.Option(
            "--results",
            help="Delete unread results instead of errors: results that two purges, at least "
            "--min-age apart, have found unchanged, so no caller has fetched them.",
        ),
    ] = False,
    min_age: Annotated[
        str | None,
        typer.Option(
            metavar="AGE",
            show_default=False,
            help="With --results: shortest time between the two purges, longer than any caller "
            f"waits for a result: 90m, 12h, 7d. [default: {DEFAULT_AGE}]",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Delete stored lock errors, stored errors of other classes, or unread results.

    Errors of tasks that will run again, parts of a chord, errors that were stored on purpose
    (without --kept), and values that cannot be read are left alone. Code that waits for a deleted
    error without a timeout waits forever.

    With --results, the first purge only marks results; a run without --apply marks nothing, so it
    does not count. A result is deleted when a later purge finds it with the same bytes, and its
    task neither waits nor runs. Results that callers read with preserve=True look unread.
    """
    with command_context("purge", huey_name) as huey:
        if results:
            _refuse("--exception", exception)
            _refuse("--kept", kept)
            stopped = _purge_results(
                huey, huey_name, apply, DEFAULT_AGE if min_age is None else min_age, as_json
            )
        elif min_age is not None:
            raise UsageError("--min-age needs --results: stored errors are deleted at any age")
        else:
            stopped = _purge_errors(huey, huey_name, apply, exception, kept, as_json)
        if stopped:
            print_error("purge", f"nothing more was deleted: {stopped}")
    if stopped:
        raise typer.Exit(NEEDS_ATTENTION)


def _refuse(option: str, value: object) -> None:
    if value:
        raise UsageError(
            f"--results deletes no errors, so it takes no {option}; use one of them at a time"
        )


def _purge_errors(
    huey: Any,
    huey_name: str,
    apply: bool,
    exception: list[str] | None,
    kept: bool,
    as_json: bool,
) -> str:
    """Purge errors and print the report; return why deleting stopped, if it did."""
    classes = _validate_names(exception or list(LOCK_ERRORS))
    with deletions("reading results", "key") as on_progress:
        report = purge_errors(huey, classes, not apply, kept=kept, on_progress=on_progress)
    if as_json:
        print_json(asdict(report))
    else:
        options = [word for name in exception or [] for word in ("--exception", name)]
        options += ["--kept"] if kept else []
        print_errors(report, huey_name, options, classes)
    return report.stopped


def _purge_results(huey: Any, huey_name: str, apply: bool, min_age: str, as_json: bool) -> str:
    """Purge results and print the report; return why deleting stopped, if it did."""
    age = parse_age(min_age, "--min-age")
    with deletions("reading results", "key") as on_progress:
        report = purge_results(
            huey, age, not apply, wait=LEASE_WAIT_SECONDS, on_progress=on_progress
        )
    due = next_purge(huey, age)
    if as_json:
        print_json({**asdict(report), "next_due": None if due is None else due.isoformat()})
    else:
        options = ["--results"] + ([] if min_age == DEFAULT_AGE else ["--min-age", min_age])
        print_results(report, huey_name, options, age, due)
    return report.stopped


def _validate_names(names: list[str]) -> list[str]:
    """Return the names of the classes, sorted; raise `UsageError` if one is not such a name."""
    try:
        return sorted(validate_classes(names))
    except ValueError as exc:
        text = str(exc).replace("exceptions= of purge_errors()", "--exception")
        raise UsageError(text) from None
