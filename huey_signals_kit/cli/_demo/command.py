"""The options and exit codes of ``huey-signals demo``."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from .._shared.command import print_json
from .._shared.exits import CommandError, UsageError, exit_codes
from .._shared.interrupts import Interrupted, Interrupts
from .._shared.terminal import console
from .._web.command import open_server
from . import redis as redis_access
from . import view
from .playground import Playground
from .rounds import Comparison, compare
from .shop import pretend_module, write_module
from .storages import StorageFactory, storage_factory
from .work import Plan

HELP = """\b
Exit codes:
  0  done; with --web, ended by Ctrl-C or SIGTERM
  1  a consumer failed, or the figures are not those that the kit promises
  2  usage error, for example no Redis at the URL

\b
Examples:
  huey-signals demo
  huey-signals demo --tasks 2000 --workers 4
  huey-signals demo --redis redis://localhost:6379/0
  huey-signals demo --json | python -m json.tool
  huey-signals demo --web
"""

_FEED_SECONDS = 1.0


def demo(
    tasks: Annotated[int, typer.Option(min=20, max=100_000, help="Tasks in each round.")] = 400,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Threads of each consumer.")] = 2,
    redis: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Use this Redis instead of a temporary SQLite file."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON.")] = False,
    web: Annotated[
        bool, typer.Option("--web", help="Run a demo queue, and serve its web interface.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for --web; 0 for any that is free.")
    ] = 9807,
) -> None:
    """Compare Huey with and without the kit, on tasks of the demo.

    Real consumers do the same work twice, first with bare Huey, then with the kit. Then the command
    shows what each has left in the result store. It uses a temporary folder or, with --redis, a
    queue name of its own, and deletes all of it at the end.

    With --web it compares nothing. It runs a queue with work, contention, a lock whose holder was
    killed, and old garbage, and serves the web interface of this queue until Ctrl-C.
    """
    with exit_codes("demo"):
        plan = Plan.for_tasks(tasks)
        if redis is not None:
            redis_access.validate_url(redis)
        if web:
            if as_json:
                raise UsageError("--web has no figures to print: leave out --json")
            with suppress(Interrupted):  # a server that is asked to end has not failed
                _serve(port, workers, redis)
            return
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
        _temporary_storages(redis_url) as (storages, folder),
        view.progress_bars(console(stderr=True), plan) as on_progress,
    ):
        return compare(plan, storages, folder, workers, on_progress)


def _serve(port: int, workers: int, redis_url: str | None) -> NoReturn:
    with _temporary_storages(redis_url) as (storages, folder):
        storage = storages.create_shop()
        write_module(storage, folder)
        playground = Playground(storage)
        pretend_module(playground.huey)
        server = open_server(playground.huey, "127.0.0.1", port, "", allow_acts=True)
        view.print_start(console(stderr=True))
        playground.fill(folder)
        with playground.consumers(folder, workers), server.serving():
            view.print_address(console(stderr=True), server.url, folder)
            while True:
                playground.feed()
                time.sleep(_FEED_SECONDS)


@contextmanager
def _temporary_storages(redis_url: str | None) -> Iterator[tuple[StorageFactory, Path]]:
    """Yield a factory of storages and a folder, which are deleted even after Ctrl-C."""
    with (
        Interrupts(is_cleanup_protected=True) as interrupts,
        tempfile.TemporaryDirectory(prefix="huey-signals-demo-") as name,
        storage_factory(Path(name), redis_url) as storages,
    ):
        try:
            yield storages, Path(name)
        finally:
            interrupts.ignore()
