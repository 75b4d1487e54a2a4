"""The options and exit codes of ``huey-signals web``."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Any

import typer

from .._shared.command import HueyName, command_context
from .._shared.exits import CommandError, UsageError
from .._shared.interrupts import Interrupted
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
) -> None:
    """Serve the web interface of the queue.

    It shows locks and their holders, running tasks, processes, tokens and the store. Each read of
    the whole store (the report, the search for locks, the list of tokens, the search for one
    task) takes at most a tenth of the time.
    """
    with command_context("web", huey_name) as huey:
        password = os.environ.get(PASSWORD, "")
        if not is_loopback(host) and not password:
            raise UsageError(
                f"--host {host} can be reached from other machines: set a password in the "
                f"environment variable {PASSWORD}, or listen on 127.0.0.1"
            )
        _log_acts()
        server = open_server(huey, host, port, password, allow_acts, allowed_host or ())
        # A server that is asked to end has not failed.
        with suppress(Interrupted), server.serving():
            typer.echo(f"Serving {server.url}; Ctrl-C ends it.", err=True)
            while True:
                # Python handles a signal only between two sleeps, so each is short.
                time.sleep(_WAIT_SECONDS)


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
) -> PageServer:
    """Return the server of the page.

    Raises:
        CommandError: Jinja2 is not installed.
        UsageError: The address cannot be listened on.
    """
    try:
        return PageServer(huey, host, port, password, allow_acts, allowed_hosts)
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
