"""Break text into lines at words, and never inside an id of a task."""

from __future__ import annotations

import re

from rich.cells import cell_len

ID_LENGTH = 36
"""Length of the ids that Huey makes."""

_ID = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def fold(text: str, width: int) -> list[str]:
    """Return the lines of `text`, each at most `width` columns wide.

    A word that is too long for a line is broken, but an id in it stays whole: an id is only put on
    a line of its own, which may be wider than `width`.

    Args:
        text: Text without characters that control a terminal.
        width: Columns.
    """
    lines, line = [], ""
    for word in text.split(" "):
        if line and cell_len(line) + 1 + cell_len(word) <= width:
            line = f"{line} {word}"
            continue
        if line:
            lines.append(line)
        *full, line = _break_word(word, width)
        lines += full
    return [each.rstrip() for each in (*lines, line)]


def has_id(text: str) -> bool:
    """Return whether an id of a task is part of `text`."""
    return _ID.search(text) is not None


def shorten(text: str, width: int) -> str:
    """Return `text` in at most `width` columns, with ``…`` where it was cut; an id stays whole.

    If an id in it does not fit, the id is left out: a cut id would look like a complete one.
    """
    if cell_len(text) <= width:
        return text
    match = _ID.search(text)
    if match is None:
        return f"{_start_of(text, width - 1)}…"
    if width >= ID_LENGTH + 2:
        start = _start_of(text[: match.start()], width - ID_LENGTH - 2)
        cut = "" if match.start() == len(start) else "…"
        rest = text[match.end() :]
        if rest and cell_len(start + cut + match[0] + rest) > width:
            room = width - cell_len(start + cut + match[0]) - 1
            rest = f"{_start_of(rest, room)}…" if not has_id(rest) else "…"
        return f"{start}{cut}{match[0]}{rest}"
    return f"{_start_of(text[: match.start()], width - 1)}…"


def _start_of(text: str, width: int) -> str:
    while text and cell_len(text) > width:
        text = text[: max(0, min(width, len(text) - 1))]
    return text


def _break_word(word: str, width: int) -> list[str]:
    if cell_len(word) <= width:
        return [word]
    pieces = [""]
    for index, part in enumerate(_ID.split(word)):
        is_id = index % 2 == 1
        if cell_len(pieces[-1]) + cell_len(part) <= width:
            pieces[-1] += part
        elif is_id:
            pieces.append(part)
        else:
            for character in part:
                if pieces[-1] and cell_len(pieces[-1] + character) > width:
                    pieces.append("")
                pieces[-1] += character
    return [piece for piece in pieces if piece]
