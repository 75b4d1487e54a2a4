"""Exit codes of the commands, and the exceptions that lead to them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import typer

from .interrupts import Interrupted
from .terminal import print_error

NEEDS_ATTENTION = 1
"""The command found something that needs attention, or it failed."""

USAGE_ERROR = 2
"""The command cannot work with its arguments and has done nothing. Typer uses the same code."""

SIGNAL_BASE = 128
"""Shells add the number of a signal to this: 130 after Ctrl-C."""


class CommandError(Exception):
    """An error that ends a command with a message on stderr and the exit code `code`."""

    code = NEEDS_ATTENTION


class UsageError(CommandError):
    """An error in the arguments of the command."""

    code = USAGE_ERROR


@contextmanager
def exit_codes(command: str) -> Iterator[None]:
    """Turn a `CommandError` or an interrupt into a message on stderr and an exit code.

    A reader that closed the pipe, as ``head`` does, ends the command without a message.
    """
    try:
        yield
        sys.stdout.flush()
    except CommandError as exc:
        print_error(command, exc)
        raise typer.Exit(exc.code) from None
    except Interrupted as exc:
        if exc.work_done:
            print_error(command, exc.work_done)
        raise typer.Exit(SIGNAL_BASE + exc.signum) from None
    except BrokenPipeError:
        _discard_output()
        raise typer.Exit(SIGNAL_BASE + signal.SIGPIPE) from None


def _discard_output() -> None:
    """Redirect stdout to /dev/null, as Python would fail to flush the closed pipe at exit."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as devnull:
        os.dup2(devnull.fileno(), sys.stdout.fileno())
