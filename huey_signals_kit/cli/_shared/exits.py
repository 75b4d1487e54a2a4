"""How a command ends: its exit codes, and the errors that lead to them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import typer

from .interrupts import Interrupted

DONE = 0
"""All went well, and nothing was found that needs anybody."""

NEEDS_PERSON = 1
"""The command found something, or failed at something, that a person should look at."""

WRONG_USE = 2
"""The command cannot work with what it was given, and has done nothing; also typer's own code."""

BY_SIGNAL = 128
"""Plus the signal's number, as shells have it: 130 after Ctrl-C."""


class CommandError(Exception):
    """Ends a command with its text on stderr and its `code`."""

    code = NEEDS_PERSON


class WrongUse(CommandError):
    """What the user gave cannot be worked with."""

    code = WRONG_USE


@contextmanager
def exit_codes(command: str) -> Iterator[None]:
    """Turn the errors of *command* into a line on stderr and an exit code."""
    try:
        yield
        sys.stdout.flush()
    except CommandError as exc:
        typer.echo(f"huey-signals {command}: {exc}", err=True)
        raise typer.Exit(exc.code) from None
    except Interrupted as exc:
        raise typer.Exit(BY_SIGNAL + exc.signum) from None
    except BrokenPipeError:
        _write_to_nobody()
        raise typer.Exit(BY_SIGNAL + signal.SIGPIPE) from None


def _write_to_nobody() -> None:
    """Who reads has seen enough; what is still buffered would be complained of at the end."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nobody:
        os.dup2(nobody.fileno(), sys.stdout.fileno())
