"""The rows of the benchmark, and how they are printed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

HEADER = ("measurement", "bare", "kit", "ratio", "target", "met")


@dataclass(frozen=True)
class Row:
    """One measurement. Where it was skipped there are no figures, and *note* says why.

    *target* is the most that the ratio may be; of bytes, the most that the kit may store.
    """

    name: str
    unit: str
    target: float
    bare: float | None = None
    kit: float | None = None
    ratio: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where nothing was measured."""
        figure = self.kit if self.unit == "bytes" else self.ratio
        return None if figure is None else figure <= self.target

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "met": self.met}

    def cells(self) -> tuple[str, ...]:
        """In the order of `HEADER`."""
        if self.ratio is None:
            return (self.name, "-", "-", "-", f"{self.target:g}", "skipped")
        bare, kit = (f"{figure:,.{self.digits}f} {self.unit}" for figure in (self.bare, self.kit))
        met = "yes" if self.met else "NO"
        return (self.name, bare, kit, f"{self.ratio:.3f}", f"{self.target:g}", met)

    @property
    def digits(self) -> int:
        """Decimals that mean something."""
        return 1 if self.unit == "us" else 0


def as_text(rows: Iterable[Row]) -> str:
    """A table for people, the notes below it."""
    rows = list(rows)
    cells = [HEADER, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_line(line, widths) for line in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    notes = [f"{row.name}: {row.note}" for row in rows if row.note]
    return "\n".join([*lines, "", *notes]).rstrip()


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)])
