"""What all commands that work on a Huey have in common."""

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
from .terminal import print_whatever_stands_in_a_store

HueyName = Annotated[
    str,
    typer.Argument(
        metavar="HUEY",
        show_default=False,
        help="The Huey as package.module.attribute, as for huey_consumer.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON.")]
Apply = Annotated[bool, typer.Option("--apply", help="Do it; without this, nothing is changed.")]


@contextmanager
def command_context(command: str, name: str) -> Iterator[Any]:
    """The Huey at *name*, for *command*: whatever goes wrong ends it with a line and a code."""
    print_whatever_stands_in_a_store()
    with exit_codes(command), Interrupts():
        huey = find_huey(name)
        if (problem := load_django_tasks()) is not None:
            typer.echo(f"huey-signals {command}: {problem}", err=True)
        with storage_errors(huey):
            yield huey


def print_json(content: object) -> None:
    """*content* on stdout."""
    typer.echo(json.dumps(content, indent=2))
