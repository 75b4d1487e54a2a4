"""Integers that show what was recorded when an assertion about them fails."""

from __future__ import annotations

from collections.abc import Callable


class Count(int):
    """A number of recorded things: an int whose ``repr`` shows what was recorded.

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


def explain_comparison(operator: str, left: object, right: object) -> list[str] | None:
    """Return the lines that explain a failed comparison to pytest; None without a `Count`."""
    count = left if isinstance(left, Count) else right
    if not isinstance(count, Count):
        return None
    texts = [str(each) if isinstance(each, Count) else repr(each) for each in (left, right)]
    lines = [f"  {line}" for line in count.recorded()]
    heading = "recorded:" if lines else "recorded nothing"
    return [f"{texts[0]} {operator} {texts[1]}", heading, *lines]
