"""Output to people: results to stdout, errors and progress to stderr, readable at 80 columns."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.text import Text

WIDTH = 80


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


def console(*, stderr: bool = False) -> Console:
    """Return a console of at most 80 columns; rich decides whether it has colours."""
    terminal = Console(stderr=stderr, highlight=False, markup=False)
    terminal.width = min(terminal.width, WIDTH)
    return terminal


def show_cursor() -> None:
    """Show the cursor again that a progress bar on stderr hides; safe in a signal handler."""
    terminal = console(stderr=True)
    if terminal.is_terminal and not terminal.is_dumb_terminal:
        with suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), b"\x1b[?25h")


def render_lines(content: RenderableType, width: int = WIDTH) -> list[str]:
    """Return the lines that rich prints for `content`, folded and without colours."""
    paper = Console(width=width, color_system=None, highlight=False, markup=False, emoji=False)
    with paper.capture() as printed:
        paper.print(content, overflow="fold")
    return [line.rstrip() for line in printed.get().splitlines()]


def print_text(text: str = "", *, first: str = "") -> None:
    """Print a line or a folded paragraph on stdout.

    Args:
        text: The paragraph.
        first: Put before the first line, such as ``- ``; later lines are indented as far.
    """
    rest = " " * len(first)
    for number, line in enumerate(render_lines(Text(printable(text)), WIDTH - len(first))):
        typer.echo(f"{rest if number else first}{line}")


def print_command(*words: str) -> None:
    """Print a command to copy, on a line of its own that is never folded."""
    typer.echo(f"  {program.command(*words)}")


def print_error(command: str, message: object) -> None:
    """Print a message of a command on stderr."""
    typer.echo(f"{program.name} {command}: {message}", err=True)


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
