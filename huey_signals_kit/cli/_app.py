"""The command line, put together from its commands."""

from __future__ import annotations

import platform
from importlib.metadata import version as version_of
from typing import Annotated

import typer

from .. import __version__
from . import _forget, _sweep
from ._demo import command as _demo
from ._explain import command as _explain
from ._export import command as _export
from ._health import command as _health
from ._locks.command import locks
from ._purge import command as _purge
from ._report import command as _report
from ._tokens.command import tokens
from ._top import command as _top
from ._web import command as _web

app = typer.Typer(
    name="huey-signals",
    no_args_is_help=True,
    add_completion=False,
    # Plain help reads the same in every terminal, pager and log.
    rich_markup_mode=None,
    # A traceback with local variables would show the password in a URL.
    pretty_exceptions_enable=False,
)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        kit, huey = __version__, version_of("huey")
        typer.echo(f"huey-signals-kit {kit}, Huey {huey}, Python {platform.python_version()}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print versions and exit."
        ),
    ] = False,
) -> None:
    """Keep lock errors and spent revoke tokens out of Huey's result store."""


app.command(epilog=_demo.HELP)(_demo.demo)
app.command(epilog=_report.HELP)(_report.report)
app.command(epilog=_sweep.HELP)(_sweep.sweep)
app.command(epilog=_purge.HELP)(_purge.purge)
app.add_typer(tokens, name="tokens")
app.add_typer(locks, name="locks")
app.command(epilog=_top.HELP)(_top.top)
app.command(epilog=_explain.HELP)(_explain.explain)
app.command(epilog=_export.HELP)(_export.export)
app.command(epilog=_health.HELP)(_health.health)
app.command(epilog=_web.HELP)(_web.web)
app.command(epilog=_forget.HELP)(_forget.forget)
