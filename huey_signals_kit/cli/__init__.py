"""The command ``huey-signals``; needs the extra ``cli`` (typer and rich)."""

from ._app import app

__all__ = ["app"]
