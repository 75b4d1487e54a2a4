"""What a command has done until it is interrupted, such as by Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .interrupts import Interrupted
from .wording import pluralize, verb


@contextmanager
def work_so_far(describe: Callable[[], str]) -> Iterator[None]:
    """Add what was done to the message of an interrupt of the block.

    Args:
        describe: Returns what was done before the interrupt, as the end of a sentence.
    """
    try:
        yield
    except Interrupted as exc:
        exc.work_done = f"interrupted; before that, {describe()}"
        raise


class Deletions:
    """The last report of a job that reads and deletes keys.

    Args:
        noun: What the job reads, such as ``token``.
        on_progress: Called with each report.
    """

    def __init__(self, noun: str, on_progress: Callable[[Any], object]) -> None:
        self._noun = noun
        self._on_progress = on_progress
        self._report: Any = None

    def update(self, report: Any) -> None:
        """Keep the report so far; it has at least `scanned`, `deleted` and `dry_run`."""
        self._report = report
        self._on_progress(report)

    def describe(self) -> str:
        """Return what was done until the last report, as the end of a sentence."""
        report = self._report
        if report is None:
            return "nothing was changed"
        read = f"{pluralize(report.scanned, self._noun)} {verb(report.scanned, 'were')} read"
        if report.dry_run:
            return f"{read}, and nothing was changed"
        return f"{read} and {report.deleted:,} deleted; a last batch may be deleted, too"
