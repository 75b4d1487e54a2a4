"""What a kit is made of."""

from __future__ import annotations

from typing import Protocol


class Component(Protocol):
    """Something that a kit puts on its Huey and takes off again."""

    def install(self) -> None:
        """Put it on."""

    def uninstall(self) -> None:
        """Take it off; nothing happens when it is not on."""
