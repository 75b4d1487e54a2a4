"""Numbers that say what was recorded instead, when an assertion about them fails."""

from __future__ import annotations

from collections.abc import Callable


class Count(int):
    """A number of recorded things; an int whose ``repr`` says what was recorded.

    Args:
        number: The number.
        what: What was counted.
        recorded: Returns a line for each task that was recorded.
    """

    what: str
    recorded: Callable[[], list[str]]

    def __new__(cls, number: int, what: str, recorded: Callable[[], list[str]]) -> Count:
        """Return the number with the texts for messages."""
        count = super().__new__(cls, number)
        count.what, count.recorded = what, recorded
        return count

    def __repr__(self) -> str:
        return f"<{self!s}: recorded {'; '.join(self.recorded()) or 'nothing'}>"

    def __str__(self) -> str:
        return f"{int(self)} {self.what}"

    def __format__(self, spec: str) -> str:
        return int.__format__(int(self), spec)

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        return (int, (int(self),))

    def compared(self, operator: str, other: object) -> list[str]:
        """Return the lines that explain a failed comparison to pytest."""
        expected = int(other) if isinstance(other, Count) else other
        lines = self.recorded()
        return [
            f"{self!s} {operator} {expected!r}",
            *(["recorded:", *(f"  {line}" for line in lines)] if lines else ["recorded nothing"]),
        ]
