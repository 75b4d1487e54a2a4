"""The command ``huey-signals``; needs the extra ``cli`` (typer and rich)."""

from ._app import app
from ._shared.process_exit import run

__all__ = ["app", "run"]
