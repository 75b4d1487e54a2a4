"""What is wrong with the settings: shown by the system checks, and logged when Django starts."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

# The boundary between the problem and the remedy in a message of the kit.
_REMEDY = re.compile(r"(?<=\.) (?=[A-Z])|; |: (?=pip install)")


@dataclass(frozen=True)
class Problem:
    """A mistake in the settings or in the code of the project."""

    code: str
    """``E001`` for an error, ``W001`` for a warning."""
    text: str
    hint: str | None = None

    @property
    def level(self) -> int:
        """The level of the log and of the check."""
        return logging.ERROR if self.code.startswith("E") else logging.WARNING

    def __str__(self) -> str:
        return f"{self.text} {self.hint or ''}".strip() + f" (huey_signals.{self.code})"


def make_problem(code: str, where: str, exc: BaseException) -> Problem:
    """Return the problem for an exception that an argument caused.

    Args:
        code: The code of the problem.
        where: The expression of the argument, such as ``HUEY_SIGNALS['preset']``.
        exc: The exception, with a message of this package.
    """
    text, remedy = split_remedy(exc)
    if not remedy:
        allowed = re.search(r" takes (.+), got ", text)
        remedy = f"It takes {allowed[1]}." if allowed else f"Correct {where}."
    return Problem(code, f"{where}: {text}", remedy)


def split_remedy(exc: BaseException) -> tuple[str, str]:
    """Return what is wrong and what to write, as sentences, from a message of this package."""
    text, *remedy = (f"{part.removesuffix('.')}." for part in _REMEDY.split(str(exc), maxsplit=1))
    return text, "".join(f"{each[0].upper()}{each[1:]}" for each in remedy)
