"""Lock names can be endless (``media:<uuid>``); as a label they must not be."""

from __future__ import annotations

import re

OTHER = "other"

_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_HEX = re.compile(
    r"(?<![0-9a-z])(?:0x[0-9a-f]+|(?=[a-f]*[0-9])[0-9a-f]+|[0-9a-f]{16,})(?![0-9a-z])",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"[0-9]+")
_LENGTH = 100


def fold(name: str) -> str:
    """*name* with every UUID, hexadecimal word and run of digits as ``*``, at most 100 long.

    A word of fewer than 16 hexadecimal letters and no digit is a word: ``facade`` stays.
    """
    for pattern in (_UUID, _HEX, _DIGITS):
        name = pattern.sub("*", name)
    return name if len(name) <= _LENGTH else name[: _LENGTH - 1] + "…"


class FoldedLabels:
    """Folds names and admits the first *most* different results; the rest is ``other``."""

    def __init__(self, most: int = 100) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, name: str) -> str:
        """The label for *name*. Callers hold the lock of the counts."""
        label = fold(name)
        if label not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(label)
        return label
