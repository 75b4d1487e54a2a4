"""The command line as a command of another program, which finds the Huey itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer
from typer.main import get_command

from ._app import app
from ._shared.list_by_default import ListByDefault
from ._shared.terminal import program

_EXAMPLE = re.compile(r"huey-signals (.*?) tasks\.huey")


def embed(name: str, find_huey_name: Callable[[str | None], str]) -> Any:
    """Return the command line with the option ``--queue`` in place of the argument HUEY.

    Args:
        name: How the user calls the command line, for messages and the help.
        find_huey_name: Returns the name of a Huey, as for ``huey-signals``, for the value of
            ``--queue`` or None; raises `ValueError` with a message for the user.
    """
    program.name = name
    command = get_command(app)
    _replace_huey_argument(command, find_huey_name)
    return command


def _replace_huey_argument(command: Any, find_huey_name: Callable[[str | None], str]) -> None:
    for text in ("help", "epilog"):
        setattr(command, text, _with_program_name(getattr(command, text)))
    if isinstance(command, ListByDefault):
        command.takes_huey, command.no_args_is_help = False, False
    for each in getattr(command, "commands", {}).values():
        _replace_huey_argument(each, find_huey_name)
    argument = next((each for each in command.params if each.name == "huey_name"), None)
    if argument is not None:
        command.params[command.params.index(argument)] = _queue_option()
        command.callback = partial(_call, command.callback, find_huey_name)


def _call(
    callback: Callable[..., Any],
    find_huey_name: Callable[[str | None], str],
    *,
    queue: str | None,
    **arguments: Any,
) -> Any:
    try:
        huey_name = find_huey_name(queue)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--queue") from None
    word = "" if queue is None else f"--queue {queue}"
    program.words_for_huey[huey_name] = program.huey_word = word
    return callback(huey_name=huey_name, **arguments)


def _with_program_name(text: str | None) -> str | None:
    if text is None:
        return None
    return _EXAMPLE.sub(rf"{program.name} \1", text).replace("huey-signals", program.name)


def _queue_option() -> Any:
    """Return the option, made by typer itself: its classes differ between versions."""
    probe = typer.Typer()

    @probe.command()
    def with_queue(
        queue: Annotated[
            str | None,
            typer.Option("--queue", metavar="NAME", help="The queue; needed if there are several."),
        ] = None,
    ) -> None:
        """Take the option."""

    return get_command(probe).params[0]
