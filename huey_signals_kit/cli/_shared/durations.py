"""Spans of time as people write and read them."""

from __future__ import annotations

import re

from ...upkeep import validate_min_age
from .exits import WrongUse
from .terminal import shown

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_NAMES = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")
_FORM = "takes seconds, or a number with s, m, h, d or w after it, as in 1d"


def parse_age(given: str, option: str) -> float:
    """Seconds from ``3600``, ``90m`` or ``1d``; `WrongUse` for less than a sweep can work with."""
    found = _AGE.fullmatch(given.strip().lower())
    if found is None:
        raise WrongUse(f"{option} {_FORM}; got {shown(given)!r}")
    seconds = float(found[1]) * _SECONDS[found[2] or "s"]
    try:
        validate_min_age(seconds, option)
    except ValueError as exc:
        raise WrongUse(str(exc)) from None
    return seconds


def format_seconds(seconds: float) -> str:
    """*seconds* in its largest unit that leaves no rest, as in ``90 minutes``."""
    for name, size in _NAMES:
        if seconds % size == 0 or size == 1:
            number = seconds / size
            return f"{number:,g} {name}{'' if number == 1 else 's'}"
    raise AssertionError
