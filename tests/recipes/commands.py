"""The commands `huey-signals` in a text, and whether they exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

_COMMAND = re.compile(r"huey-signals [^`\n#|&;)]+")
_PLACEHOLDERS = {"LOCK": "import", "TASK_ID": "5f0c1f7e"}


def commands_in(text: str) -> list[list[str]]:
    """Return the arguments of each command `huey-signals` that a text names with a Huey.

    Args:
        text: A page, or the list of arguments of a container, joined with spaces.
    """
    found = (shlex.split(match)[1:] for match in _COMMAND.findall(text))
    return [[_PLACEHOLDERS.get(word, word) for word in words] for words in found if words[1:]]


def parse(arguments: Iterable[str]) -> None:
    """Parse a command as the command line does, without running it.

    Args:
        arguments: What follows `huey-signals`.

    Raises:
        click.UsageError: There is no such command, option or value.
    """
    import typer

    from huey_signals_kit.cli import app

    command, words = typer.main.get_command(app), list(arguments)
    context = command.make_context("huey-signals", words)
    while hasattr(command, "resolve_command"):
        known = vars(context)  # an older click has it without the underscore
        first = known.get("_protected_args", known.get("protected_args", ()))
        words = [*first, *context.args]
        name, command, words = command.resolve_command(context, words)
        context = command.make_context(name, words, parent=context)
