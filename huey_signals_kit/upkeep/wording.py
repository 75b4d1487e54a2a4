"""Parts of sentences about tasks: plurals, verbs, lists, durations and times."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def pluralize(count: int, noun: str) -> str:
    """Return ``1 token``, ``2,000 tokens``, ``3 keys``, ``4 entries`` or ``5 processes``."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        plural = f"{noun[:-1]}ies"
    else:
        plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def verb(count: int, plural: str) -> str:
    """Return the form of a verb for `count` subjects, such as ``waits`` or ``wait``.

    Args:
        count: How many subjects the verb has.
        plural: The plural: ``are``, ``have``, ``were`` or a regular verb.
    """
    irregular = {"are": "is", "have": "has", "were": "was"}
    return plural if count != 1 else irregular.get(plural, f"{plural}s")


def join_limited(names: Iterable[str], limit: int = 5) -> str:
    """Return `names` with commas between them; only the number of those beyond `limit`."""
    names = list(names)
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def format_duration(seconds: float) -> str:
    """Return `seconds` in their two largest units, as in ``3h 5m``, for a column of a table."""
    return " ".join(f"{number}{unit}" for number, unit in _largest_units(seconds))


def format_span(seconds: float) -> str:
    """Return `seconds` in their two largest units, as in ``3 h 5 min``, for a sentence."""
    if 0 < seconds < 1:
        return f"{max(1, round(seconds * 1000))} ms"
    parts = [part for part in _largest_units(seconds) if part[0]] or [(0, "s")]
    return " ".join(f"{number} {'min' if unit == 'm' else unit}" for number, unit in parts)


def _largest_units(seconds: float) -> list[tuple[int, str]]:
    rest, parts = max(0, int(seconds)), list[tuple[int, str]]()
    for name, size in _UNITS:
        number, rest = divmod(rest, size)
        if number or (parts and len(parts) < 2) or name == "s":
            parts.append((number, name))
    return parts[:2]


def format_time(moment: datetime) -> str:
    """Return `moment` to the second, without its time zone."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"
