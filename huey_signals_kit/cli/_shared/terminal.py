"""Output to people: results to stdout, errors and progress to stderr, as wide as the terminal."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, TextIO

import typer
from rich.console import Console

from .folding import ID_LENGTH, fold

_MIN_WIDTH = ID_LENGTH + 8
"""Columns of the narrowest output: an id, and a few characters around it."""
_WIDEST_TEXT = 100
"""Columns of the widest paragraph; longer lines are no easier to read."""


class Program:
    """The words with which the user calls this command line, for messages and commands to copy."""

    def __init__(self) -> None:
        self.name = "huey-signals"
        self.words_for_huey: dict[str, str] = {}
        """What the user writes in place of the name of a Huey, if it is not the name."""
        self.huey_word = "HUEY"
        """The argument that names the Huey of this command, for a command to copy."""

    def command(self, *words: str) -> str:
        """Return a command for the user to copy.

        Args:
            *words: The words after the program. The name of a Huey is replaced by what the user
                writes for it.
        """
        written = (self.words_for_huey.get(word, word) for word in words)
        return " ".join([self.name, *(printable(word) for word in written if word)])


program = Program()


def output_width() -> int:
    """Return the columns of the terminal; 80 without one. The variable COLUMNS overrides both."""
    return max(_MIN_WIDTH, Console().width)


def text_width() -> int:
    """Return the columns of a paragraph on the terminal."""
    return min(output_width(), _WIDEST_TEXT)


def has_only_ascii() -> bool:
    """Return whether the encoding of stdout has no lines and blocks to draw with."""
    return Console().options.ascii_only


def console(*, stderr: bool = False) -> Console:
    """Return a console as wide as a paragraph; rich decides whether it has colours."""
    terminal = Console(stderr=stderr, highlight=False, markup=False)
    terminal.width = min(terminal.width, _WIDEST_TEXT)
    return terminal


def show_cursor() -> None:
    """Show the cursor again that a progress bar on stderr hides; safe in a Unix signal handler."""
    terminal = console(stderr=True)
    if terminal.is_terminal and not terminal.is_dumb_terminal:
        with suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), b"\x1b[?25h")


def print_text(text: str = "", *, first: str = "", colour: str = "") -> None:
    """Print a line or a paragraph on stdout, folded at words.

    Args:
        text: The paragraph.
        first: Put before the first line, such as ``- ``; later lines are indented as far.
        colour: Print in bold letters of this colour, if stdout is a terminal with colours.
    """
    rest = " " * len(first)
    for number, line in enumerate(fold(printable(text), text_width() - len(first))):
        line = f"{rest if number else first}{line}"
        if colour and _has_colours():
            line = typer.style(line, fg=colour, bold=True)
        typer.echo(line)


def _has_colours() -> bool:
    terminal = Console()
    return sys.stdout.isatty() and terminal.color_system is not None and not terminal.no_color


def print_command(*words: str) -> None:
    """Print a command to copy, on a line of its own that is never folded."""
    typer.echo(f"  {program.command(*words)}")


def print_line(text: str) -> None:
    """Print a line on stdout for programs that read it; folded at words if it is a terminal."""
    typer.echo(_folded_on(sys.stdout, text))


def print_error(command: str, message: object) -> None:
    """Print a message of a command on stderr; folded at words if stderr is a terminal."""
    typer.echo(_folded_on(sys.stderr, f"{program.name} {command}: {message}"), err=True)


def _folded_on(stream: TextIO, text: str) -> str:
    if not stream.isatty():
        return text
    return "\n".join(part for line in text.split("\n") for part in fold(line, text_width()))


def printable(text: object) -> str:
    r"""Return `text` on one line, with escapes (``\n``) for characters that control a terminal.

    Names in a store come from anywhere. Printed as they are, they could move the cursor, change
    colours or forge lines of output.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode()
        for char in str(text)
    )


def escape_unencodable_output() -> None:
    """Write escapes for characters that the encoding of stdout or stderr does not have.

    Otherwise a task whose name is not in the encoding of the terminal would end the command.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
