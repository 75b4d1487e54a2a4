"""The answer of ``huey-signals health``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Health:
    """A verdict, and its reason."""

    healthy: bool
    why: str
    """The reason, in one line."""
