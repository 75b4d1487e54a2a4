"""The answer of ``huey-signals health``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Health:
    """A judgement and its reason. The fields are those of the JSON output."""

    healthy: bool
    why: str
    """The reason, in one line."""
