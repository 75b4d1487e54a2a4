"""Figures, times and foreign names as the web interface writes them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import datetime, timezone
from hashlib import blake2b

from ..upkeep.wording import format_span

_BYTES = ("B", "kB", "MB", "GB", "TB")
_MAX_TEXT = 300
_MAX_REFERENCE = 500
_DIGEST = "digest:"


def format_duration(seconds: float | None) -> str:
    """Return seconds in their two largest units, such as ``2 min 10 s``; ``–`` for None."""
    return "–" if seconds is None else format_span(seconds)


def format_age(seconds: float) -> str:
    """Return how long ago something was, such as ``3 s ago``."""
    return "just now" if seconds < 1 else f"{format_duration(seconds)} ago"


def format_bytes(number: int) -> str:
    """Return a number of bytes in the unit that gives it one to three digits, such as ``31 MB``."""
    value, unit = float(number), 0
    while value >= 999.5 and unit < len(_BYTES) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_BYTES[unit]}" if unit and value < 9.95 else f"{value:.0f} {_BYTES[unit]}"


def format_number(number: int | None) -> str:
    """Return a number with separators for thousands; ``–`` for None."""
    return "–" if number is None else f"{number:,}"


def format_moment(moment: datetime | None) -> str:
    """Return a time in UTC with its zone, without the date if that is today; ``–`` for None."""
    if moment is None:
        return "–"
    moment = moment.astimezone(timezone.utc)
    is_today = moment.date() == datetime.now(timezone.utc).date()
    return f"{moment:%H:%M:%S} UTC" if is_today else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def clean(text: object) -> str:
    r"""Return a name from the store on one line, shortened, with escapes for control characters.

    Controls, separators of lines and marks that change the direction of writing become escapes such
    as ``\u202e``: a name could look like another one, or be drawn over its neighbours.
    """
    value = str(text)
    if len(value) > _MAX_TEXT:
        value = value[: _MAX_TEXT - 1] + "…"
    if value.isascii() and value.isprintable():
        return value
    return "".join(map(_visible, value))


def clean_lines(text: str, length: int, height: int) -> str:
    """Return a text of several lines, shortened, with the escapes of `clean` in each line.

    Args:
        text: The text.
        length: The maximum number of its characters.
        height: The maximum number of its lines.
    """
    lines = text[:length].splitlines()
    end = "…" if len(text) > length or len(lines) > height else ""
    return "\n".join("".join(map(_visible, line)) for line in lines[:height]) + end


def slug(name: str) -> str:
    """Return the word that stands for the name of a queue in links.

    A server decodes ``%2F``, and may remove a second slash or a dot, before the page gets the path;
    so characters that mean something in a path are written as ``~2F``. A name that only looks
    different has its own word.
    """
    word = "".join(each if each.isalnum() or each in "-_." else _escaped(each) for each in name)
    is_special = not word.strip(".") or word in ("static", "healthz")
    return _escaped(name[:1]) + word[1:] if is_special else word


def _escaped(character: str) -> str:
    return "".join(f"~{byte:02X}" for byte in character.encode("utf-8", "surrogatepass")) or "~"


def reference(name: str) -> str:
    """Return what stands for a name in links and forms: the name, or a digest of a long one.

    The digest is also used for names with bytes that are not UTF-8, which no link can have.
    """
    raw = name.encode("utf-8", "surrogatepass")
    if len(raw) <= _MAX_REFERENCE and not name.startswith(_DIGEST) and _is_text(name):
        return name
    return _DIGEST + blake2b(raw, digest_size=16).hexdigest()


def is_own_reference(name: str) -> bool:
    """Return whether a name stands for itself in links and forms."""
    return reference(name) == name


def resolve(given: str, names: Iterable[str]) -> str | None:
    """Return the name that a link or a form has meant; None if there is no such name."""
    return next((name for name in names if reference(name) == given), None)


def _is_text(name: str) -> bool:
    return not any(unicodedata.category(each) == "Cs" for each in name)


def _visible(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return character.encode("unicode_escape", "backslashreplace").decode()
    return character
