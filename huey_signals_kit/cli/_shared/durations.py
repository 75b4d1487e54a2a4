"""Durations and times as users write and read them."""

from __future__ import annotations

import re
from typing import Any

from ...upkeep import validate_min_age
from ...upkeep.wording import format_duration, format_span, format_time
from .exits import UsageError
from .terminal import printable

__all__ = [
    "format_duration",
    "format_seconds",
    "format_span",
    "format_time",
    "parse_age",
    "zone_of",
]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_NAMES = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")
_FORMAT = "takes a number with s, m, h, d or w after it, as in 1d"
_MIN_WITHOUT_UNIT = 3600
"""Seconds; a smaller number without a unit may be meant as days."""


def parse_age(text: str, option: str) -> float:
    """Return the seconds that ``90m``, ``1d`` or ``3600`` stands for.

    Args:
        text: The value of the option.
        option: The name of the option, for the message.

    Raises:
        UsageError: `text` is not an age, is a small number without a unit, or is out of the range
            that a sweep accepts.
    """
    match = _AGE.fullmatch(text.strip().lower())
    if match is None:
        raise UsageError(f"{option} {_FORMAT}; got {printable(text)!r}")
    seconds = float(match[1]) * _SECONDS[match[2] or "s"]
    if not match[2] and seconds < _MIN_WITHOUT_UNIT:
        raise UsageError(
            f"{option} {match[1]} has no unit: write {match[1]}d for days, {match[1]}s for seconds"
        )
    try:
        validate_min_age(seconds, option)
    except ValueError as exc:
        raise UsageError(str(exc)) from None
    return seconds


def format_seconds(seconds: float) -> str:
    """Return `seconds` in the largest unit that divides them, as in ``90 minutes``."""
    for name, size in _NAMES:
        if seconds % size == 0 or size == 1:
            number = seconds / size
            return f"{number:,g} {name}{'' if number == 1 else 's'}"
    raise AssertionError


def zone_of(huey: Any) -> str:
    """Return the time zone of the times that `huey` stores without one."""
    return "UTC" if huey.utc else "local"
