"""Puts the commands together."""

from __future__ import annotations

import typer

from ._demo.command import EXAMPLES, demo

app = typer.Typer(
    name="huey-signals",
    no_args_is_help=True,
    add_completion=False,
    # Plain help reads the same in every terminal, pager and log.
    rich_markup_mode=None,
    # A traceback with local variables would show the password in a URL.
    pretty_exceptions_enable=False,
)


@app.callback()
def main() -> None:
    """Keep lock errors and spent revoke tokens out of Huey's result store."""


app.command(epilog=EXAMPLES)(demo)
