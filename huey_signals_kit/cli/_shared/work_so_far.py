"""Messages about the work that a command did before it was interrupted, such as by Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .interrupts import Interrupted
from .progress import progress
from .wording import pluralize, verb


@contextmanager
def work_so_far(describe: Callable[[], str]) -> Iterator[None]:
    """Say what was done if the block is interrupted.

    Args:
        describe: Returns what was done before the interrupt, as the end of a sentence.
    """
    try:
        yield
    except Interrupted as exc:
        exc.work_done = f"interrupted; before that, {describe()}"
        raise


@contextmanager
def deletions(activity: str, noun: str) -> Iterator[Callable[[Any], None]]:
    """Show the progress of a job that reads and deletes keys; an interrupt says what was done.

    Yields a function that takes the report so far, which has at least `scanned`, `deleted` and
    `dry_run`.

    Args:
        activity: What the command is doing, such as ``sweeping tokens``.
        noun: What the job reads, such as ``token``.
    """
    so_far: Any = None

    def update(report: Any) -> None:
        nonlocal so_far
        so_far = report
        deleted = f", {report.deleted:,} deleted" if report.deleted and not report.dry_run else ""
        show_status(f"{report.scanned:,} read{deleted}")

    with progress(activity) as show_status, work_so_far(lambda: _describe(so_far, noun)):
        yield update


def _describe(report: Any, noun: str) -> str:
    if report is None:
        return "nothing was changed"
    read = f"{pluralize(report.scanned, noun)} {verb(report.scanned, 'were')} read"
    if report.dry_run:
        return f"{read}, and nothing was changed"
    return f"{read} and {report.deleted:,} deleted; up to one more batch may have been deleted"
