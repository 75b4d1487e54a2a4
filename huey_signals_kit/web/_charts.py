"""Bar charts as SVG, drawn on the server: the page needs no script for them."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

_TOP, _BOTTOM = 14, 16


def bars(
    values: Sequence[int],
    label: str,
    *,
    bad_from: int | None = None,
    begin: str = "",
    width: int = 500,
    height: int = 116,
) -> Markup:
    """Return a bar chart.

    Args:
        values: The height of each bar, oldest first.
        label: What the chart shows, for screen readers.
        bad_from: The index of the first bar in the colour of a problem.
        begin: What is written under the first bar, such as ``3 hours ago``; empty for a small chart
            without any text.
        width: Pixels.
        height: Pixels.
    """
    top, bottom = (_TOP, height - _BOTTOM) if begin else (0, height)
    highest, step = max([*values, 1]), width / max(1, len(values))
    drawn = [
        _bar(at * step, bottom, (bottom - top) * value / highest, step - 1, _is_bad(at, bad_from))
        for at, value in enumerate(values)
        if value
    ]
    texts = (
        f'<text x="0" y="{height - 2}">{escape(begin)}</text>'
        f'<text x="{width}" y="{height - 2}" text-anchor="end">now</text>'
        f'<text x="{width}" y="10" text-anchor="end">{highest if any(values) else 0:,}</text>'
        f'<rect class="axis" x="0" y="{bottom}" width="{width}" height="1"/>'
        if begin
        else ""
    )
    summary = escape(f"{label}, at most {highest:,}" if any(values) else f"{label}: none")
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{summary}">{"".join(drawn)}{texts}</svg>'
    )


def group(values: Sequence[int], size: int) -> list[int]:
    """Return the sums of each `size` values; the last group ends with the last value."""
    rest = len(values) % size
    padded = [0] * (size - rest if rest else 0) + list(values)
    return [sum(padded[at : at + size]) for at in range(0, len(padded), size)]


def _bar(x: float, bottom: int, height: float, width: float, is_bad: bool) -> str:
    height = max(1.5, height)
    bad = ' class="bad"' if is_bad else ""
    return (
        f'<rect x="{x:.1f}" y="{bottom - height:.1f}" width="{max(1.0, width):.1f}" '
        f'height="{height:.1f}"{bad}/>'
    )


def _is_bad(at: int, bad_from: int | None) -> bool:
    return bad_from is not None and at >= bad_from
