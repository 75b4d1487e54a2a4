"""Tables that fit 80 columns and need no colour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from .terminal import lines, shown


def print_table(
    titles: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = ()
) -> None:
    """A table on stdout; the columns *numbers* stand to the right, all others are folded."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for place, title in enumerate(titles):
        right = place in numbers
        table.add_column(
            title, justify="right" if right else "left", overflow="fold", no_wrap=right
        )
    for row in rows:
        table.add_row(*(Text(number(each)) for each in row))
    for line in lines(table):
        typer.echo(line)


def number(value: object) -> str:
    """A cell: numbers with thousands, texts as they can be shown."""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else shown(value)


def counted(count: int, noun: str) -> str:
    """``1 token``, ``2,000 tokens``, ``3 entries``, ``4 processes``."""
    ending = "ies" if noun.endswith("y") else "es" if noun.endswith("s") else "s"
    plural = f"{noun.removesuffix('y')}{ending}"
    return f"{count:,} {noun if count == 1 else plural}"
