"""The command ``manage.py huey_signals``: the command line ``huey-signals`` on the queues."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ....._checks import listed, nearest, short
from ..._queues import default_queue, find_queues

# Options of every command of Django, which Django itself has read; those with a value first.
_WITH_VALUE = ("--settings", "--pythonpath", "--verbosity", "-v")
_SHORT_WITH_VALUE = re.compile(r"-v\d")
_FLAGS = ("--traceback", "--no-color", "--force-color", "--skip-checks")


class Command(BaseCommand):  # type: ignore[misc]
    """``manage.py huey_signals COMMAND [--queue NAME]``; exit codes as of ``huey-signals``."""

    help = "Show and clean what Huey has stored: report, locks, sweep, purge, top, explain, ..."
    # A mistake in the settings must not prevent a release of a lock.
    requires_system_checks: Sequence[str] = ()

    def add_arguments(self, parser: Any) -> None:
        """Add the arguments for ``call_command``."""
        parser.add_argument("--queue", metavar="NAME")
        parser.add_argument("args", nargs=argparse.REMAINDER, metavar="COMMAND")

    def run_from_argv(self, argv: list[str]) -> None:
        """Run the command line of ``manage.py``; end the process with the exit code."""
        program = _program(argv)
        args = list(_without_django_options(argv[2:]))
        queue = None
        if args[:1] == ["--queue"]:
            queue, args = args[1] if len(args) > 1 else "", args[2:]
        elif args and args[0].startswith("--queue="):
            queue, args = args[0].removeprefix("--queue="), args[1:]
        command, run = _command_line(program, queue)
        run(lambda: command(args=args, prog_name=program))

    def print_help(self, prog_name: str, subcommand: str) -> None:
        """Print the help, for ``manage.py help huey_signals``."""
        program = _program([prog_name, subcommand])
        command, _ = _command_line(program)
        command(args=["--help"], prog_name=program, standalone_mode=False)

    def handle(self, *args: str, **options: Any) -> None:
        """Run the command line for ``call_command``.

        Raises:
            CommandError: The exit code is not 0; `returncode` is the exit code.
        """
        program = "manage.py huey_signals"
        words = list(_without_django_options(args))
        with redirect_stdout(self.stdout._out), redirect_stderr(self.stderr._out):
            try:
                command, _ = _command_line(program, options["queue"])
                command(args=words, prog_name=program)
            except SystemExit as exc:
                if isinstance(exc.code, str):  # what is not installed
                    raise CommandError(exc.code, returncode=1) from None
                if exc.code:
                    text = f"{' '.join(['huey_signals', *words])}: exit code {exc.code}"
                    raise CommandError(text, returncode=exc.code) from None


def _command_line(program: str, default: str | None = None) -> tuple[Any, Any]:
    """Return the command line and the function that runs it and ends the process.

    Args:
        program: How the user calls it.
        default: The queue if the arguments name none; None for the queue of the project.
    """
    try:
        from .....cli import embed, run
    except ModuleNotFoundError as exc:
        if exc.name not in ("typer", "rich"):
            raise
        sys.exit(
            f"{program} needs {exc.name}, which is not installed; "
            "run: pip install 'huey-signals-kit[cli]'"
        )
    return embed(program, lambda queue: _huey_name(default if queue is None else queue)), run


def _huey_name(name: str | None) -> str:
    """Return the name of the Huey of a queue, as the command ``huey-signals`` takes it."""
    queues, problems = find_queues()
    if not queues:
        reason = " ".join(map(str, problems))
        raise ValueError(reason or "the project has no Huey: write the setting HUEY or DJANGO_HUEY")
    names = [queue.name for queue in queues]
    if name is None:
        queue = default_queue(queues)
        if queue is None:
            raise ValueError(f"name the queue: the project has {listed(names)}")
        return queue.command_name
    for queue in queues:
        if queue.name == name:
            return queue.command_name
    raise ValueError(
        f"no queue {short(name)}.{nearest(name, names)} The queues of the project are "
        f"{listed(names)}"
    )


def _program(argv: list[str]) -> str:
    name = Path(argv[0]).name
    return f"{'python -m django' if name == '__main__.py' else name} {argv[1]}"


def _without_django_options(args: Sequence[str]) -> Iterator[str]:
    """Yield the arguments without the options of every command of Django, up to ``--``."""
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            yield arg
            break
        if arg in _WITH_VALUE:
            next(rest, None)
        elif not (
            arg in _FLAGS
            or arg.partition("=")[0] in _WITH_VALUE[:-1]
            or _SHORT_WITH_VALUE.fullmatch(arg)
        ):
            yield arg
    yield from rest
