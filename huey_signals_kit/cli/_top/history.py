"""The last one or three hours of a queue, one character per minute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.text import Text

from ...ledger import History
from .._shared.terminal import has_only_ascii

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = ".,-=+*%#"
_LABEL_WIDTH = 11
_MIN_MINUTES = 15
_MAX_WIDTH = 9
"""Columns for the largest number, behind the line: an hour fits into 80 columns."""


def history_lines(history: History, width: int) -> list[Text]:
    """Return a line each for done tasks, errors and refused attempts to acquire a lock.

    Args:
        history: The counts by minute.
        width: Columns; they decide how many minutes are shown.
    """
    minutes = _minutes(width)
    if not minutes:
        return []
    blocks = _ASCII_BLOCKS if has_only_ascii() else _BLOCKS
    span = f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}m"
    series = dict(_series(history))
    if not any(any(counts[-minutes:]) for counts in series.values()):
        label = f"last {span}".ljust(_LABEL_WIDTH)
        return [Text.assemble((label, "bold"), ("nothing counted until a minute ago", "dim"))]
    lines = []
    for label, counts in series.items():
        recent = counts[-minutes:]
        text = Text(f"{label} {span}".ljust(_LABEL_WIDTH), "bold")
        if any(recent):
            text.append(sparkline(recent, blocks), "cyan")
            text.append(f" {max(recent):,}/min".rjust(_MAX_WIDTH), "dim")
        else:
            text.append("none", "dim")
        lines.append(text)
    return lines


def sparkline(counts: Iterable[int], blocks: str = _BLOCKS) -> str:
    """Return a character for each count, the last of `blocks` for the largest; a space for zero."""
    counts = list(counts)
    highest = max(counts, default=0)
    levels = len(blocks)
    return "".join(blocks[-(-count * levels // highest) - 1] if count else " " for count in counts)


def _minutes(width: int) -> int:
    """Return how many minutes fit: three hours, one, or fewer; 0 if it is too narrow."""
    room = width - _LABEL_WIDTH - _MAX_WIDTH
    narrow = room if room >= _MIN_MINUTES else 0
    return next((minutes for minutes in (180, 60) if minutes <= room), narrow)


def _series(history: History) -> Iterator[tuple[str, list[int]]]:
    """Yield the label of each line, and its counts by minute."""
    signals = {
        "done": ("signal", "complete"),
        "errors": ("signal", "error"),
        "refused": ("refusal", None),
    }
    for label, (kind, signal) in signals.items():
        rows = [
            counts
            for (row_kind, *labels), counts in history.minutes.items()
            if row_kind == kind and (signal is None or labels[-1] == signal)
        ]
        yield label, [sum(column) for column in zip(*rows, strict=True)]
