"""Where output goes: results to stdout, progress to stderr, both readable at 80 columns."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.text import Text

WIDTH = 80


def console(*, stderr: bool = False) -> Console:
    """A console no wider than is good to read; without colour where none is wanted."""
    found = Console(stderr=stderr, highlight=False, markup=False)
    found.width = min(found.width, WIDTH)
    return found


def show_cursor() -> None:
    """Have it shown again, if a progress bar on stderr hides it; also from a signal's handler."""
    terminal = console(stderr=True)
    if terminal.is_terminal and not terminal.is_dumb_terminal:
        with suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), b"\x1b[?25h")


def lines(content: RenderableType, width: int = WIDTH) -> list[str]:
    """*content* as it is printed, folded."""
    paper = Console(width=width, color_system=None, highlight=False, markup=False, emoji=False)
    with paper.capture() as printed:
        paper.print(content, overflow="fold")
    return [line.rstrip() for line in printed.get().splitlines()]


def say(text: str = "", *, first: str = "") -> None:
    """A line or a paragraph on stdout, folded; after *first* all of it is indented."""
    rest = " " * len(first)
    folded = lines(Text(shown(text)), WIDTH - len(first))
    for number, line in enumerate(folded):
        typer.echo(f"{rest if number else first}{line}")


def say_command(*words: str) -> None:
    """A command to copy, on a line of its own, however long."""
    typer.echo(f"  huey-signals {' '.join(map(shown, words))}")


def shown(text: object) -> str:
    """*text* on one line, with nothing in it that a terminal would obey."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "backslashreplace").decode()
        for each in str(text)
    )


def print_whatever_stands_in_a_store() -> None:
    """Names in a store may have characters that this terminal has no letters for."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
