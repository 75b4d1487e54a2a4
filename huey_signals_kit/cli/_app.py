"""Puts the commands together."""

from __future__ import annotations

import platform
from importlib.metadata import version as version_of
from typing import Annotated

import typer

from . import _forget, _purge, _sweep
from ._demo.command import EXAMPLES, demo
from ._explain import command
from ._export.command import EXAMPLES as EXPORT_EXAMPLES
from ._export.command import export
from ._health import command
from ._locks.command import locks
from ._report import command
from ._tokens.command import tokens
from ._top import command

app = typer.Typer(
    name="huey-signals",
    no_args_is_help=True,
    add_completion=False,
    # Plain help reads the same in every terminal, pager and log.
    rich_markup_mode=None,
    # A traceback with local variables would show the password in a URL.
    pretty_exceptions_enable=False,
)


def _print_version(given: bool) -> None:
    if given:
        kit, huey = version_of("huey-signals-kit"), version_of("huey")
        typer.echo(f"huey-signals-kit {kit}, Huey {huey}, Python {platform.python_version()}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print versions and end."
        ),
    ] = False,
) -> None:
    """Keep lock errors and spent revoke tokens out of Huey's result store."""


app.command(epilog=EXAMPLES)(demo)
app.command(epilog=command.EXIT_CODES)(command.report)
app.command(epilog=_sweep.HELP)(_sweep.sweep)
app.command(epilog=_purge.HELP)(_purge.purge)
app.add_typer(tokens, name="tokens")
app.add_typer(locks, name="locks")
app.command(epilog=command.HELP)(command.top)
app.command(epilog=command.HELP)(command.explain)
app.command(epilog=EXPORT_EXAMPLES)(export)
app.command(epilog=command.HELP)(command.health)
app.command(epilog=_forget.HELP)(_forget.forget)
