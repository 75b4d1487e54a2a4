"""The options and exit codes of ``huey-signals demo``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from .._shared.command import print_json
from .._shared.exits import CommandError, exit_codes
from .._shared.interrupts import Interrupts
from .._shared.terminal import console
from . import redis as redis_access
from . import view
from .rounds import Comparison, compare
from .storages import storage_factory
from .work import Plan

HELP = """\b
Exit codes:
  0  done
  1  a consumer failed, or the figures are not those that the kit promises
  2  usage error, for example no Redis at the URL

\b
Examples:
  huey-signals demo
  huey-signals demo --tasks 2000 --workers 4
  huey-signals demo --redis redis://localhost:6379/0
  huey-signals demo --json | python -m json.tool
"""


def demo(
    tasks: Annotated[int, typer.Option(min=20, max=100_000, help="Tasks in each round.")] = 400,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Threads of each consumer.")] = 2,
    redis: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Use this Redis instead of a temporary SQLite file."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON.")] = False,
) -> None:
    """Compare Huey with and without the kit, on tasks of the demo.

    Real consumers do the same work twice, first with bare Huey, then with the kit. Then the command
    shows what each has left in the result store. It uses a temporary folder or, with --redis, a
    queue name of its own, and deletes all of it at the end.
    """
    with exit_codes("demo"):
        plan = Plan.for_tasks(tasks)
        if redis is not None:
            redis_access.validate_url(redis)
        if not as_json:
            storage = "a Redis" if redis else "a temporary SQLite file"
            view.print_introduction(console(), plan, storage)
        comparison = _run(plan, workers, redis)
        if as_json:
            print_json(comparison.as_json())
        else:
            view.print_comparison(console(), comparison)
        if not comparison.is_as_promised:
            raise CommandError("the kit did not do all that it promises; see the figures")


def _run(plan: Plan, workers: int, redis_url: str | None) -> Comparison:
    with (
        Interrupts(is_cleanup_protected=True) as interrupts,
        tempfile.TemporaryDirectory(prefix="huey-signals-demo-") as folder,
        storage_factory(Path(folder), redis_url) as storages,
        view.progress_bars(console(stderr=True), plan) as on_progress,
    ):
        try:
            return compare(plan, storages, Path(folder), workers, on_progress)
        finally:
            interrupts.ignore()
