"""Arguments and steps that the commands on a Huey have in common."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from .exits import exit_codes
from .find_huey import find_huey, load_django_tasks
from .interrupts import Interrupts
from .storage_errors import storage_errors
from .terminal import escape_unencodable_output, print_error

HueyName = Annotated[
    str,
    typer.Argument(
        metavar="HUEY",
        show_default=False,
        help="The Huey as package.module.attribute, as for huey_consumer.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON.")]
Apply = Annotated[
    bool, typer.Option("--apply", help="Make the changes. Without it, nothing is changed.")
]


@contextmanager
def command_context(command: str, name: str) -> Iterator[Any]:
    """Yield the Huey that the user named, and turn errors of the block into exit codes.

    Every error that a user can cause or mend ends the command with one message on stderr: a wrong
    name, an import that fails, a storage that cannot be reached. Other exceptions are bugs and keep
    their traceback.

    Args:
        command: Name of the command, for messages.
        name: The Huey as ``package.module.attribute``.
    """
    escape_unencodable_output()
    with exit_codes(command), Interrupts():
        huey = find_huey(name)
        if (problem := load_django_tasks()) is not None:
            print_error(command, problem)
        with storage_errors(huey):
            yield huey


def print_json(content: object) -> None:
    """Print `content` as JSON on stdout."""
    typer.echo(json.dumps(content, indent=2))
