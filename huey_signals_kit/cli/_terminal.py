"""Where output goes: results to stdout, progress to stderr, both readable at 80 columns."""

from __future__ import annotations

from rich.console import Console

_WIDTH = 80


def console(*, stderr: bool = False) -> Console:
    """A console no wider than is good to read; without colour where none is wanted."""
    found = Console(stderr=stderr, highlight=False, markup=False)
    found.width = min(found.width, _WIDTH)
    return found
