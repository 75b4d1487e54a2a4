"""The options and exit codes of ``huey-signals export``, and its server."""

from __future__ import annotations

import math
import signal
import time
from collections import deque
from typing import Annotated, Any

import typer

from .._shared.command import AsJson, HueyName, command_context, print_json
from .._shared.exits import SIGNAL_BASE, CommandError, UsageError
from .._shared.storage_errors import storage_failure
from .._shared.terminal import print_error
from .reader import QueueReader

_WAIT_SECONDS = 1.0

HELP = """\b
Exit codes:
  0  done, or ended by SIGTERM
  1  the storage failed (with --once; the server serves huey_up 0 instead)
  2  usage error, for example no such Huey, or the port is taken

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
        typer.Option(min=1, metavar="SECONDS", help="Shortest time between reads of the store."),
    ] = 60,
    once: Annotated[
        bool,
        typer.Option("--once", help="Print the metrics and exit, as for a textfile collector."),
    ] = False,
    no_counters: Annotated[
        bool,
        typer.Option(
            "--no-counters",
            help="Serve only gauges: for a Prometheus that scrapes the consumers, too, and would "
            "count twice.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Serve the metrics of the whole queue to Prometheus.

    One process serves the counters of all processes that have the kit; they need no folder in
    common. Processes, locks, queue and schedule are read at each scrape, the rest of the store at
    most once per --store-interval. Run one for each queue. If Prometheus scrapes the consumers
    themselves, too, use --no-counters, because their counters are the same ones. With --once --json
    the command prints the report behind the metrics, with all counters.
    """
    try:
        with command_context("export", huey_name) as huey:
            if as_json and not once:
                raise UsageError(
                    "--json needs --once, because a server has only Prometheus' own format"
                )
            if as_json and no_counters:
                raise UsageError("--no-counters is for Prometheus' format; leave --json out")
            if as_json:
                print_json(QueueReader(huey, math.inf).complete_report().as_dict())
            elif once:
                _print_metrics(huey, not no_counters)
            else:
                _serve(huey, host, port, store_interval, not no_counters)
    except typer.Exit as exc:
        if not once and exc.exit_code == SIGNAL_BASE + signal.SIGTERM:
            return  # SIGTERM is how a service is stopped
        raise


def _print_metrics(huey: Any, has_counters: bool) -> None:
    """Print all metrics; an error ends the command, as half of a file is worse than none."""
    _require_client()
    from prometheus_client import CollectorRegistry, generate_latest

    from .collector import QueueCollector

    collector = QueueCollector(huey, math.inf, _raise, has_counters, has_history=False)
    collector.complete_report()
    registry = CollectorRegistry()
    registry.register(collector)
    typer.echo(generate_latest(registry).decode(), nl=False)


def _serve(huey: Any, host: str, port: int, interval: float, has_counters: bool) -> None:
    """Serve metrics until a signal ends the process."""
    _require_client()
    from prometheus_client import CollectorRegistry, start_http_server

    from .collector import QueueCollector

    registry = CollectorRegistry()
    collector = QueueCollector(huey, interval, _OutageLog(huey), has_counters)
    registry.register(collector)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as exc:
        raise UsageError(
            f"cannot listen on {host}, port {port}: {exc.strerror or exc}; "
            "give another --host or --port"
        ) from None
    address = f"[{host}]" if ":" in host else host
    url = f"http://{address}:{server.server_port}/metrics"
    typer.echo(f"Serving {url}; Ctrl-C ends it.", err=True)
    try:
        # Read once now: a storage that cannot be used is reported before the first scrape.
        deque(collector.collect(), 0)
        while True:
            # Python handles a signal only between two sleeps, so each is short.
            time.sleep(_WAIT_SECONDS)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _raise(exc: Exception | None, not_served: str) -> None:
    if exc is not None:
        raise exc


class _OutageLog:
    """A callback that prints when the storage fails and when it answers again, once each."""

    def __init__(self, huey: Any) -> None:
        self._huey = huey
        self._not_served = ""

    def __call__(self, exc: Exception | None, not_served: str) -> None:
        if not_served == self._not_served:
            return
        self._not_served = not_served
        text = "the storage answers again"
        if exc is not None:
            text = f"{storage_failure(self._huey, exc)}; {not_served} until it answers"
        print_error("export", text)


def _require_client() -> None:
    """Raise `CommandError` with the name of the extra if prometheus_client is not installed."""
    try:
        import prometheus_client  # noqa: F401
    except ModuleNotFoundError:
        raise CommandError(
            "this needs prometheus-client, which is not installed; "
            "run: pip install 'huey-signals-kit[prometheus]'"
        ) from None
