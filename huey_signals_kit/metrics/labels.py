"""Turn lock names into a bounded number of labels.

An application can have a lock per object (``media:<uuid>``). With a label for each of them, every
sink would keep a series per object forever, which is what overloads Prometheus. So the variable
parts of a name are replaced by ``*``, and the number of different labels is limited.
"""

from __future__ import annotations

import re

from .names import LABELS
from .values import Key, Totals, Value, merge

OTHER = "other"
"""The label of all locks beyond the limit."""

_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_HEX = re.compile(
    r"(?<![0-9a-z])(?:0x[0-9a-f]+|(?=[a-f]*[0-9])[0-9a-f]+|[0-9a-f]{16,})(?![0-9a-z])",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"[0-9]+")
_MAX_FOLDED = 100
_MAX_LABEL = 200


def fold(name: str) -> str:
    """Return `name` with every UUID, hexadecimal word and run of digits replaced by ``*``.

    The result has at most 100 characters. A word without a digit and with fewer than 16 hexadecimal
    letters is not hexadecimal: ``facade`` stays.
    """
    for pattern in (_UUID, _HEX, _DIGITS):
        name = pattern.sub("*", name)
    return name if len(name) <= _MAX_FOLDED else name[: _MAX_FOLDED - 1] + "…"


def sanitize_label(value: object) -> str:
    """Return `value` as a label for any sink: valid UTF-8, one line, at most 200 characters."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if len(text) > _MAX_LABEL:
        text = text[: _MAX_LABEL - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    text = text.encode("utf-8", "replace").decode()  # a lone surrogate becomes "?"
    return "".join(character if character.isprintable() else " " for character in text)


MAX_LABELS = 100
"""The number of different labels of locks, beside `OTHER`."""


class FoldedLabels(dict[str, str]):
    """The label of each lock name: a mapping that fills itself.

    The first labels up to a limit are admitted; all further names get the label ``other``. Names
    are cached, so that a known name costs one look-up.

    Args:
        max_labels: The number of different labels that are admitted.
        max_cached: The number of cached names; the cache is cleared when it is full.
    """

    def __init__(self, max_labels: int = MAX_LABELS, max_cached: int = 1000) -> None:
        super().__init__()
        self._max_cached = max_cached
        # No lock, because a Unix signal handler may interrupt this: the pop of a slot is atomic.
        self._free_slots = list(range(max_labels))
        self._admitted: dict[str, int] = {}

    def __missing__(self, name: str) -> str:
        label = self._admit(fold(name))
        if len(self) >= self._max_cached:
            self.clear()
        self[name] = label
        return label

    def label_of(self, name: str) -> str:
        """Return the label that `name` is counted under, or would be, without admitting it."""
        label = fold(name)
        return label if label in self._admitted or self._free_slots else OTHER

    def _admit(self, label: str) -> str:
        if label in self._admitted:
            return label
        try:
            slot = self._free_slots.pop()
        except IndexError:
            return OTHER
        if self._admitted.setdefault(label, slot) != slot:
            self._free_slots.append(slot)  # another thread has admitted it meanwhile
        return label


def limit_locks(totals: Totals, admitted: FoldedLabels) -> Totals:
    """Return totals of several processes with a bounded number of different labels of locks.

    Each process has admitted up to `MAX_LABELS`, perhaps others than the next one.

    Args:
        totals: The totals.
        admitted: The labels that were admitted so far; those with the highest counts come next.
    """
    limited: Totals = {}
    for key, value in sorted(totals.items(), key=_by_count):
        if LABELS[key[0]][-1] == "lock" and key[-1] != OTHER:
            key = (*key[:-1], admitted[key[-1]])
        merge(limited, {key: value})
    return limited


def _by_count(item: tuple[Key, Value]) -> int:
    return -item[1] if isinstance(item[1], int) else 0
