"""The two small tables of figures: what is stored, and which events were counted."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from ...upkeep.monitor.model import EVENTS, FIGURES, EventCount, Figure, QueueSnapshot
from .._shared.durations import format_duration

LABEL_WIDTH = 14
OLD_SECONDS = 10.0
"""Seconds after which the age of a figure is shown."""
_NUMBER_WIDTH = 9
_UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"))


def store_lines(snapshot: QueueSnapshot, is_live: bool, has_totals: bool) -> list[Text]:
    """Return the lines about the store; with `has_totals` of a live view, also its changes."""
    figures = [snapshot.store.get(name, Figure(None, None)) for name in FIGURES]
    lines = [_titles(f"store{_describe_age(snapshot)}", FIGURES)]
    lines.append(_numbers("now", [_format_short(figure.now) for figure in figures]))
    if is_live and has_totals:
        changes = [_format_signed(figure.change) for figure in figures]
        lines.append(_numbers("since start", changes))
    return lines


def _describe_age(snapshot: QueueSnapshot) -> str:
    if snapshot.store_age is None:
        return ", reading"
    if snapshot.store_age < OLD_SECONDS:
        return ""
    return f", {format_duration(snapshot.store_age).split()[0]} old"


def event_lines(snapshot: QueueSnapshot, is_live: bool, has_totals: bool) -> list[Text]:
    """Return the lines about events: rates in a live view, totals with `has_totals`."""
    events = [snapshot.events.get(name, EventCount(None, None)) for name in EVENTS]
    lines = [_titles("events", EVENTS)]
    if is_live:
        rates = ["-" if event.rate is None else f"{event.rate:,.1f}" for event in events]
        lines.append(_numbers("per second", rates))
    if has_totals:
        lines.append(_numbers("total", [_format_short(event.total) for event in events]))
    return lines


def _titles(label: str, names: Sequence[str]) -> Text:
    columns = "".join(name.rjust(_NUMBER_WIDTH) for name in names)
    return Text.assemble((label.ljust(LABEL_WIDTH), "bold"), (columns, "dim"))


def _numbers(label: str, values: Sequence[str]) -> Text:
    columns = "".join(value.rjust(_NUMBER_WIDTH) for value in values)
    return Text(f"  {label}".ljust(LABEL_WIDTH) + columns)


def _format_short(value: int | None) -> str:
    """Return `value` in at most eight characters."""
    if value is None:
        return "-"
    for size, unit in _UNITS:
        if abs(value) >= size:
            return f"{value / size:.1f}{unit}"
    return f"{value:,}"


def _format_signed(value: int | None) -> str:
    return f"+{_format_short(value)}" if value and value > 0 else _format_short(value)
