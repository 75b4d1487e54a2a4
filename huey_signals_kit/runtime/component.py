"""The protocol of the parts of a kit."""

from __future__ import annotations

from typing import Protocol


class Component(Protocol):
    """A part that a kit installs on its Huey and uninstalls again."""

    def install(self) -> None:
        """Patch the Huey, connect receivers, or register jobs."""

    def uninstall(self) -> None:
        """Undo `install`; do nothing if the part is not installed."""
