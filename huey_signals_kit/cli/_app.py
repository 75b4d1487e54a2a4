"""Puts the commands together."""

from __future__ import annotations

import typer

from . import _explain, _purge, _report, _sweep, _top
from ._demo.command import EXAMPLES, demo
from ._export.command import EXAMPLES as EXPORT_EXAMPLES
from ._export.command import export
from ._locks import locks
from ._tokens import tokens

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
app.command(epilog=_report.EXIT_CODES)(_report.report)
app.command(epilog=_sweep.HELP)(_sweep.sweep)
app.command(epilog=_purge.HELP)(_purge.purge)
app.add_typer(tokens, name="tokens")
app.add_typer(locks, name="locks")
app.command(epilog=_top.HELP)(_top.top)
app.command(epilog=_explain.HELP)(_explain.explain)
app.command(epilog=EXPORT_EXAMPLES)(export)
