"""``huey-signals demo``."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from .._shared.exits import CommandError, exit_codes
from .._shared.interrupts import Interrupts
from .._shared.redis import check as check_redis
from .._shared.terminal import console
from . import view
from .places import storage_factory
from .rounds import Comparison, compare
from .work import Plan

EXAMPLES = """\b
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
    as_json: Annotated[bool, typer.Option("--json", help="Print only the figures.")] = False,
) -> None:
    """Show what the kit does, in a few seconds, on tasks of its own.

    Real consumers do the same work twice, first on bare Huey, then with the kit, in a
    temporary folder or, with --redis, under a queue name of their own, which is removed
    afterwards. Then it shows what either has left in the result store.
    """
    with exit_codes("demo"):
        plan = Plan.of(tasks)
        if redis is not None:
            check_redis(redis)
        if not as_json:
            view.introduce(console(), plan, "a Redis" if redis else "a temporary SQLite file")
        found = _run(plan, workers, redis)
        if as_json:
            typer.echo(json.dumps(found.as_json(), indent=2))
        else:
            view.conclude(console(), found)
        if not found.as_promised:
            raise CommandError("the kit did not do all that it promises, see the figures")


def _run(plan: Plan, workers: int, redis: str | None) -> Comparison:
    with (
        Interrupts(tidying=True) as interrupts,
        tempfile.TemporaryDirectory(prefix="huey-signals-demo-") as folder,
        storage_factory(Path(folder), redis) as places,
        view.progress_bars(console(stderr=True), plan) as advance,
    ):
        try:
            return compare(plan, places, Path(folder), workers, advance)
        finally:
            interrupts.ignore()
