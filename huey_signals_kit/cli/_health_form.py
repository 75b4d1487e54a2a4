"""The answer of ``huey-signals health``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Health:
    """Whether all is well, and why."""

    healthy: bool
    why: str
    """In one line."""
