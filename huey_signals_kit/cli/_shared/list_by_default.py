"""A group of commands whose command ``list`` need not be named."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class ListByDefault(TyperGroup):
    """A group of commands in which ``GROUP HUEY`` means ``GROUP list HUEY``."""

    takes_huey = True
    """Whether the commands have the argument HUEY; if not, ``GROUP`` means ``GROUP list``."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse the words after the name of the group."""
        if not self.takes_huey and (args or [""])[0] not in ("--help", *self.commands):
            args = ["list", *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command; a first word that is neither a command nor an option is a Huey."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["list", *args]
        return super().resolve_command(ctx, args)
