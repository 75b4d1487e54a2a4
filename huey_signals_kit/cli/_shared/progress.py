"""Progress on stderr, while a person is looking."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from .terminal import console

Tell = Callable[[str], object]


@contextmanager
def progress(doing: str) -> Iterator[Tell]:
    """A bar that says *doing*, and what it is told; nothing where nobody is looking.

    How much there is nobody knows before all of it is read, so the bar has no end.
    """
    terminal = console(stderr=True)
    if not terminal.is_interactive:
        yield lambda text: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[told]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=terminal, transient=True) as bars:
        bar = bars.add_task(doing, total=None, told="")
        yield lambda text: bars.update(bar, told=text)


@contextmanager
def waiting(doing: str) -> Iterator[None]:
    """The same for work that tells nothing on its way."""
    with progress(doing):
        yield
