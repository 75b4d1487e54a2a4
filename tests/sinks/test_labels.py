"""What is written as a label, whatever it was."""

from __future__ import annotations

import pytest

from huey_signals_kit.metrics.labels import sanitize_label


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
