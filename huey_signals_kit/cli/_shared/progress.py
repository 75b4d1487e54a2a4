"""Progress bars on stderr, shown only on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from .terminal import console

ShowStatus = Callable[[str], object]
"""Shows a text beside the bar, such as ``1,000 read``."""


@contextmanager
def progress(activity: str) -> Iterator[ShowStatus]:
    """Show a bar while the block runs, and yield a function that sets the text beside it.

    The bar has no end, because the size of a store is unknown before all of it is read. If stderr
    is not a terminal, nothing is shown.

    Args:
        activity: What the command is doing, shown before the bar.
    """
    terminal = console(stderr=True)
    if not terminal.is_interactive:
        yield lambda text: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[status]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=terminal, transient=True) as bars:
        bar = bars.add_task(activity, total=None, status="")
        yield lambda text: bars.update(bar, status=text)
