"""The options and exit codes of ``huey-signals web``."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable
from contextlib import redirect_stdout, suppress
from pkgutil import resolve_name
from typing import Annotated, Any

import typer

from ...web import FormatArguments
from ...web.arguments import validate_formatter
from .._shared.command import HueyName, command_context
from .._shared.exits import CommandError, UsageError
from .._shared.interrupts import Interrupted
from .._shared.terminal import printable
from .server import PageServer, is_loopback

PASSWORD = "HUEY_SIGNALS_WEB_PASSWORD"
_WAIT_SECONDS = 1.0

HELP = f"""\b
Without --allow-acts the web interface is read-only. With it, each action is
logged on stderr. Every user of this machine can open it, unless the
environment variable {PASSWORD} has a password. An
address that other machines can reach needs that password; put a proxy with
TLS in front of it, because the browser sends it with every request.

\b
Exit codes:
  0  ended by Ctrl-C or SIGTERM
  1  Jinja2 is not installed
  2  usage error, for example no such Huey, or the port is taken

\b
Examples:
  huey-signals web tasks.huey
  huey-signals web tasks.huey --allow-acts --port 9000
  huey-signals web tasks.huey --allowed-host ops.example.com
  huey-signals web tasks.huey --format-arguments ops.format_arguments
"""


def web(
    huey_name: HueyName,
    host: Annotated[str, typer.Option(help="Listen on this address.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Listen on this port; 0 for any that is free.")
    ] = 9807,
    allow_acts: Annotated[
        bool, typer.Option("--allow-acts", help="Allow changes, such as releasing a stale lock.")
    ] = False,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Also accept requests for this host name, such as the name of a proxy. Only "
            "needed on a loopback address.",
        ),
    ] = None,
    format_arguments: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE.FUNCTION",
            help="Show the arguments of tasks as this function formats them; by default they are "
            "hidden.",
        ),
    ] = None,
) -> None:
    """Serve the web interface of the queue.

    It shows locks and their holders, running tasks, processes, tokens and the store. Each read of
    the whole store (the report, the search for locks, the list of tokens, the search for one
    task) uses at most 10 % of the running time.
    """
    with command_context("web", huey_name) as huey:
        password = os.environ.get(PASSWORD, "")
        if not is_loopback(host) and not password:
            raise UsageError(
                f"--host {host} can be reached from other machines: set a password in the "
                f"environment variable {PASSWORD}, or listen on 127.0.0.1"
            )
        _log_acts()
        formatter = None if format_arguments is None else _load_formatter(format_arguments)
        server = open_server(huey, host, port, password, allow_acts, allowed_host or (), formatter)
        # A server that is asked to end has not failed.
        with suppress(Interrupted), server.serving():
            typer.echo(f"Serving {server.url}; Ctrl-C ends it.", err=True)
            while True:
                # Python handles a signal only between two sleeps, so each is short.
                time.sleep(_WAIT_SECONDS)


def _load_formatter(path: str) -> FormatArguments:
    """Return the function (name, args, kwargs) with a dotted path.

    Raises:
        UsageError: It cannot be imported, or cannot be called with these.
    """
    what = f"--format-arguments {printable(path)}"
    try:
        with redirect_stdout(sys.stderr):
            function = resolve_name(path)
        formatter = validate_formatter(function)
    except (Exception, SystemExit) as exc:
        reason = printable(f"{type(exc).__name__}: {exc}")
        raise UsageError(f"{what}: {reason}") from None
    if formatter is None:
        raise UsageError(f"{what} is None; name a function (name, args, kwargs)")
    return formatter


def _log_acts() -> None:
    """Log each action to stderr, unless the module of the Huey has set up the log."""
    logger = logging.getLogger("huey_signals_kit")
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)


def open_server(
    huey: Any,
    host: str,
    port: int,
    password: str,
    allow_acts: bool,
    allowed_hosts: Iterable[str] = (),
    format_arguments: FormatArguments | None = None,
) -> PageServer:
    """Return the server of the web interface.

    Raises:
        CommandError: Jinja2 is not installed.
        UsageError: The address cannot be listened on.
    """
    try:
        return PageServer(huey, host, port, password, allow_acts, allowed_hosts, format_arguments)
    except ModuleNotFoundError as exc:
        if exc.name not in ("jinja2", "markupsafe"):
            raise
        raise CommandError(
            "the web interface needs Jinja2, which is not installed; run: pip install "
            "'huey-signals-kit[web]'"
        ) from None
    except OSError as exc:
        raise UsageError(
            f"cannot listen on {host}, port {port}: {exc.strerror or exc}; "
            "give another --host or --port"
        ) from None
