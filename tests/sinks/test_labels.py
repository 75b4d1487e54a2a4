"""What is written as a label, whatever it was."""

from __future__ import annotations

import pytest

from huey_signals_kit.metrics.labels import (
    MAX_LABELS,
    OTHER,
    FoldedLabels,
    limit_locks,
    sanitize_label,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain name", "plain name"),
        ("", ""),
        ('quoted "name" \\', 'quoted "name" \\'),
        ("two\nlines\r\n", "two lines  "),
        ("two\u2028lines\x85", "two lines "),
        ("nul\0tab\t", "nul tab "),
        ("größe 数 🙂", "größe 数 🙂"),
        ("lone \udc80", "lone ?"),
        ("\ud83d\ude42", "??"),
        ("right\u202eleft", "right left"),
        (b"bytes", "bytes"),
        ("größe".encode(), "größe"),
        (b"by\xfftes\n", "by\ufffdtes "),
        (17, "17"),
        (None, "None"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 199 + "…"),
        ("x" * 10_000, "x" * 199 + "…"),
        ("\n" * 10_000, " " * 199 + "…"),
        (b"\xff" * 10_000, "\ufffd" * 199 + "…"),
    ],
)
def test_a_label_is_one_line_of_utf_8_and_short(value, text):
    """And stays as it is when it is that already."""
    assert sanitize_label(value) == text
    assert sanitize_label(text) == text
    assert text.encode().decode() == text


def test_labels_of_many_processes_are_limited_together():
    """Those with the highest counts have their own; a count never moves to another series."""
    skips = "huey_lock_refusals_total"
    letters = [chr(first) + chr(second) for first in range(103, 123) for second in range(103, 123)]
    totals = {(skips, "q", name): number for number, name in enumerate(letters)}
    totals[skips, "q", OTHER] = 7
    totals["huey_signals_total", "q", "shop.job", "locked"] = 5
    admitted = FoldedLabels()
    limited = limit_locks(totals, admitted)
    own = {key[-1]: value for key, value in limited.items() if key[0] == skips}
    rest = own.pop(OTHER)
    assert own == {name: letters.index(name) for name in letters[-MAX_LABELS:]}
    assert rest == 7 + sum(range(len(letters) - MAX_LABELS))
    assert limited["huey_signals_total", "q", "shop.job", "locked"] == 5
    later = limit_locks({**totals, (skips, "q", letters[0]): 10_000}, admitted)
    assert later.keys() == limited.keys()
    assert later[skips, "q", OTHER] == rest + 10_000
