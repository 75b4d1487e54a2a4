"""Parts of sentences about tasks: plurals, verbs, durations and times."""

from __future__ import annotations

from datetime import datetime

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def pluralize(count: int, noun: str) -> str:
    """Return ``1 token``, ``2,000 tokens``, ``3 entries`` or ``4 processes``."""
    ending = "ies" if noun.endswith("y") else "es" if noun.endswith("s") else "s"
    plural = f"{noun.removesuffix('y')}{ending}"
    return f"{count:,} {noun if count == 1 else plural}"


def verb(count: int, plural: str) -> str:
    """Return the form of a verb for `count` subjects, such as ``waits`` or ``wait``.

    Args:
        count: How many subjects the verb has.
        plural: The plural: ``are``, ``have``, ``were`` or a regular verb.
    """
    irregular = {"are": "is", "have": "has", "were": "was"}
    return plural if count != 1 else irregular.get(plural, f"{plural}s")


def format_duration(seconds: float) -> str:
    """Return `seconds` in their two largest units, as in ``3h 5m``."""
    rest, parts = max(0, int(seconds)), list[str]()
    for name, size in _UNITS:
        number, rest = divmod(rest, size)
        if number or (parts and len(parts) < 2) or name == "s":
            parts.append(f"{number}{name}")
    return " ".join(parts[:2])


def format_time(moment: datetime) -> str:
    """Return `moment` to the second, without its time zone."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"
