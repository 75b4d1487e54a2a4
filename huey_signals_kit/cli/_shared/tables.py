"""Tables that fit the terminal, without colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import typer
from rich.cells import cell_len

from .folding import ID_LENGTH, fold, has_id
from .terminal import has_only_ascii, output_width, printable

_GAP = "  "
_MIN_COLUMN = 16
"""Columns to which a column of text is narrowed, unless it has an id."""


def print_table(
    titles: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = ()
) -> None:
    """Print a table on stdout; cells of text that do not fit are folded, but not within an id.

    Args:
        titles: Titles of the columns.
        rows: The cells of each row, as many as there are titles.
        numbers: Indexes of the columns that are aligned to the right, and never folded.
    """
    cells = [[format_cell(value) for value in row] for row in rows]
    widths = column_widths(titles, cells)
    _narrow(widths, cells, numbers, output_width())
    print_rows(titles, cells, widths, numbers)


def column_widths(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    """Return the columns that the widest cell of each column takes, its title included."""
    return [
        max(cell_len(text) for text in (title, *(row[index] for row in cells)))
        for index, title in enumerate(titles)
    ]


def choose_columns(
    widths: Sequence[int], required: Sequence[int], optional: Iterable[int]
) -> list[int]:
    """Return the indexes of the columns that fit on the terminal, from left to right.

    Args:
        widths: The width of each column.
        required: Columns that are always shown.
        optional: The other columns, the most important first.
    """
    chosen = list(required)
    for index in optional:
        if table_width([widths[each] for each in (*chosen, index)]) <= output_width():
            chosen.append(index)
    return sorted(chosen)


def table_width(widths: Sequence[int]) -> int:
    """Return the columns of a table whose columns have these widths."""
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _narrow(
    widths: list[int], cells: list[list[str]], numbers: Sequence[int], available: int
) -> None:
    """Make the widest columns of text narrower until the table fits, if that is possible."""
    least = [
        width
        if index in numbers
        else min(width, ID_LENGTH if any(has_id(row[index]) for row in cells) else _MIN_COLUMN)
        for index, width in enumerate(widths)
    ]
    while table_width(widths) > available:
        index = max(range(len(widths)), key=lambda index: widths[index] - least[index])
        if widths[index] <= least[index]:
            return
        widths[index] -= 1


def print_rows(
    titles: Sequence[str],
    cells: Iterable[Sequence[str]],
    widths: Sequence[int],
    numbers: Sequence[int] = (),
) -> None:
    """Print the titles and the rows of a table whose columns have these widths."""
    _print_row(titles, widths, numbers)
    typer.echo(("-" if has_only_ascii() else "─") * table_width(widths))
    for row in cells:
        _print_row(row, widths, numbers)


def _print_row(row: Sequence[str], widths: Sequence[int], numbers: Sequence[int]) -> None:
    columns = [fold(text, width) for text, width in zip(row, widths, strict=True)]
    for number in range(max(map(len, columns))):
        parts = []
        for index, (lines, width) in enumerate(zip(columns, widths, strict=True)):
            text = lines[number] if number < len(lines) else ""
            padding = " " * (width - cell_len(text))
            parts.append(f"{padding}{text}" if index in numbers else f"{text}{padding}")
        typer.echo(_GAP.join(parts).rstrip())


def format_cell(value: object) -> str:
    """Return numbers with separators for thousands, and everything else as printable text."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if is_number else printable(value)
