"""Bar charts as SVG, drawn on the server: the web interface needs no script for them."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape


def bars(
    values: Sequence[int],
    label: str,
    *,
    bad_from: int | None = None,
    begin: str = "",
    width: int = 500,
    height: int = 88,
) -> Markup:
    """Return a bar chart.

    Args:
        values: The height of each bar, oldest first.
        label: What the chart shows, for screen readers.
        bad_from: The index of the first bar in the colour of a problem.
        begin: What is written under the first bar, such as ``3 hours ago``; empty for a small chart
            without any text.
        width: Pixels; a chart with text is stretched to the width of its place.
        height: Pixels.
    """
    highest, step = max([*values, 1]), width / max(1, len(values))
    drawn = [
        _bar(at * step, height, height * value / highest, step - 1, _is_bad(at, bad_from))
        for at, value in enumerate(values)
        if value
    ]
    peak = f"at most {highest:,}" if any(values) else "none"
    axis = f'<rect class="axis" x="0" y="{height - 1}" width="{width}" height="1"/>'
    chart = Markup(
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'preserveAspectRatio="none" role="img" aria-label="{escape(label)}: {peak}">'
        f"{axis}{''.join(drawn)}</svg>"
    )
    if not begin:
        return chart
    texts = Markup("").join(Markup("<span>{}</span>").format(text) for text in (begin, peak, "now"))
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(chart, texts)


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
