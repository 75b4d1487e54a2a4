"""The command ``huey-signals``; needs the extra ``cli`` (typer and rich).

A command is a folder with ``command.py`` (options, exit codes, help) and ``view.py`` (what a person
reads), or a single file if it is small. ``_shared`` has what several commands need. ``_app`` puts
the commands together; ``_embedded`` makes them the command of another program.
"""

from ._app import app
from ._embedded import embed
from ._shared.process_exit import run

__all__ = ["app", "embed", "run"]
