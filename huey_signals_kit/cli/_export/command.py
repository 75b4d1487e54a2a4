"""``huey-signals export``."""

from __future__ import annotations

import math
import signal
import time
from collections import deque
from typing import Annotated, Any

import typer

from .._shared.command import AsJson, HueyName, command_context, print_json
from .._shared.exits import CommandError, WrongUse
from .._shared.storage_errors import failure
from .readings import Readings

_WAKES_SECONDS = 1.0

EXAMPLES = """\b
Exit codes:
  0  done, or ended by SIGTERM
  1  the storage cannot be used (with --once; the server says huey_up 0)
  2  wrong use: there is no such Huey, or the port is taken

\b
Examples:
  huey-signals export tasks.huey
  huey-signals export tasks.huey --host 0.0.0.0 --port 9809
  huey-signals export tasks.huey --once >queue.prom
  huey-signals export tasks.huey --once --json
"""


def export(
    huey_name: HueyName,
    host: Annotated[str, typer.Option(help="Listen on this address.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Listen on this port; 0 for any that is free.")
    ] = 9808,
    store_interval: Annotated[
        float,
        typer.Option(min=1, metavar="SECONDS", help="Read the store no more often than this."),
    ] = 60,
    once: Annotated[
        bool, typer.Option("--once", help="Print it once and end, as for a textfile collector.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Serve the metrics of the whole queue to Prometheus, from this one process.

    Counters are those of all processes that have the kit; they need no folder in common.
    The gauges of the store, the queue and the schedule are read here. Run one for each queue.
    With --once --json it prints the report that they are made of, with all counters.
    """
    try:
        with command_context("export", huey_name) as huey:
            if as_json and not once:
                raise WrongUse(
                    "--json takes --once as well: Prometheus reads its own format from a server"
                )
            if as_json:
                print_json(Readings(huey, math.inf).whole().as_dict())
            elif once:
                _print(huey)
            else:
                _serve(huey, host, port, store_interval)
    except typer.Exit as exc:
        if not once and exc.exit_code == 128 + signal.SIGTERM:
            return  # that is how a service is stopped
        raise


def _print(huey: Any) -> None:
    _client()
    from prometheus_client import CollectorRegistry, generate_latest

    from .collector import QueueCollector

    # What these raise ends the command: a file with half of it is worse than none.
    collector = QueueCollector(huey, math.inf, _raise)
    collector.whole()
    registry = CollectorRegistry()
    registry.register(collector)
    typer.echo(generate_latest(registry).decode(), nl=False)


def _serve(huey: Any, host: str, port: int, interval: float) -> None:
    _client()
    from prometheus_client import CollectorRegistry, start_http_server

    from .collector import QueueCollector

    registry = CollectorRegistry()
    collector = QueueCollector(huey, interval, _Teller(huey))
    registry.register(collector)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as exc:
        raise WrongUse(
            f"cannot listen on {host}, port {port}: {exc.strerror or exc}; "
            "give another --host or --port"
        ) from None
    shown = f"[{host}]" if ":" in host else host
    typer.echo(f"Serving http://{shown}:{server.server_port}/metrics; Ctrl-C ends it.", err=True)
    try:
        deque(collector.collect(), 0)  # so that a storage that cannot be used is told at once
        while True:
            # Not for ever: a signal that comes just before such a wait is not heard during it.
            time.sleep(_WAKES_SECONDS)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _raise(exc: Exception | None, missing: str) -> None:
    if exc is not None:
        raise exc


class _Teller:
    """Says on stderr when the storage fails and when it answers again, each time once."""

    def __init__(self, huey: Any) -> None:
        self._huey = huey
        self._missing = ""

    def __call__(self, exc: Exception | None, missing: str) -> None:
        if missing == self._missing:
            return
        self._missing = missing
        text = "the storage answers again"
        if exc is not None:
            text = f"{failure(self._huey, exc)}; {missing} until it answers"
        typer.echo(f"huey-signals export: {text}", err=True)


def _client() -> None:
    try:
        import prometheus_client  # noqa: F401
    except ModuleNotFoundError:
        raise CommandError(
            "this needs prometheus-client, which is not installed; "
            "run: pip install 'huey-signals-kit[prometheus]'"
        ) from None
