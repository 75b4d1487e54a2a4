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
_LONGEST = 200


def fold(name: str) -> str:
    """*name* with every UUID, hexadecimal word and run of digits as ``*``, at most 100 long.

    A word of fewer than 16 hexadecimal letters and no digit is a word: ``facade`` stays.
    """
    for pattern in (_UUID, _HEX, _DIGITS):
        name = pattern.sub("*", name)
    return name if len(name) <= _LENGTH else name[: _LENGTH - 1] + "…"


def sanitize_label(value: object) -> str:
    """*value* as any sink can write it: UTF-8, one line, at most 200 long."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    text = text.encode("utf-8", "replace").decode()  # a lone surrogate becomes "?"
    return "".join(each if each.isprintable() else " " for each in text)


class FoldedLabels(dict[str, str]):
    """The label of each name: a mapping that fills itself.

    It admits the first *most* different labels; the rest is ``other``. Names are remembered
    so that a known one costs one look-up, and forgotten when there are *remembered* of them.
    """

    def __init__(self, most: int = 100, remembered: int = 1000) -> None:
        super().__init__()
        self._remembered = remembered
        # No lock, because a signal handler may interrupt this: popping a place is atomic.
        self._places = list(range(most))
        self._known: dict[str, int] = {}

    def __missing__(self, name: str) -> str:
        label = self._admitted(fold(name))
        if len(self) >= self._remembered:
            self.clear()
        self[name] = label
        return label

    def label_of(self, name: str) -> str:
        """Return the label that *name* is counted under, or would be, without admitting it."""
        label = fold(name)
        return label if label in self._known or self._places else OTHER

    def _admitted(self, label: str) -> str:
        if label in self._known:
            return label
        try:
            place = self._places.pop()
        except IndexError:
            return OTHER
        if self._known.setdefault(label, place) != place:
            self._places.append(place)  # another thread has admitted it meanwhile
        return label
