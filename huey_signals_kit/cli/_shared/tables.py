"""Tables that fit into 80 columns and need no colour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from .terminal import printable, render_lines


def print_table(
    titles: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = ()
) -> None:
    """Print a table on stdout.

    Args:
        titles: Titles of the columns.
        rows: The cells of each row, as many as there are titles.
        numbers: Indexes of the columns that are aligned to the right; all others are folded.
    """
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for index, title in enumerate(titles):
        is_number = index in numbers
        table.add_column(
            title, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number
        )
    for row in rows:
        table.add_row(*(Text(format_cell(value)) for value in row))
    for line in render_lines(table):
        typer.echo(line)


def format_cell(value: object) -> str:
    """Return numbers with separators for thousands, and everything else as printable text."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if is_number else printable(value)
