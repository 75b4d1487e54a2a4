"""What the processes of a queue have counted lately: by minute and by hour.

Every process adds its new counts once a minute, so that a page or a terminal can draw the last
hours without a metrics server. The values are keys of the kit's own data, and no part of a
heartbeat:

- ``history:<n>``, five keys that are used in turn: the counts of one hour, by minute.
- ``history:hours``: the counts of the last 72 hours, by hour.

When the turn of a key comes again, the process that writes first copies the sums of the old hour
to ``history:hours``. It *sets* them, so a copy that was interrupted can be made again. A reader
takes an hour from its key while there is one.

Every write is a compare-and-set. If its outcome is unknown, because the connection was lost, the
counts of that minute may be missing; they are never counted twice.

The size is bounded: each key has at most `MAX_SERIES` series, further ones are added up under
``other``, and a name has at most `MAX_NAME` characters. A busy queue with 40 tasks takes about
20 kB for an hour. The bound is 600 kB for a key, and 3.6 MB for all six.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..metrics.labels import OTHER
from ..metrics.names import LOCK_REFUSALS, SIGNALS_TOTAL, TASK_SECONDS
from ..metrics.values import Durations, Totals
from ..runtime.process_id import FOREIGN_DATA_ERRORS
from ..store import KitStore

MINUTES, HOURS = 180, 72
"""How many minutes and hours a history has."""
MAX_SERIES, MAX_NAME = 200, 80

_KEYS = 5
"""An hour's key must outlive `MINUTES`: the current hour, three before, and one to spare."""
_PREFIX = "huey-signals:history:"
_HOURS_KEY = f"{_PREFIX}hours"
_VERSION = 1
_TRIES = 20
_LARGEST = 1_000_000
_MAX_COUNT = 2**53

SIGNAL, REFUSAL, ATTEMPT, MILLISECONDS = "signal", "refusal", "attempt", "milliseconds"
"""The kinds of series: signals by task and signal, refusals by lock, attempts that ended and the
milliseconds they took by task."""

_LABELS = {SIGNAL: 2, REFUSAL: 1, ATTEMPT: 1, MILLISECONDS: 1}
"""How many labels a series of each kind has."""

Series = tuple[str, ...]
"""A kind and its labels, such as ``("signal", "shop.pay", "complete")``."""


@dataclass
class Grid:
    """Counts of series in consecutive cells: the minutes of an hour, or hours."""

    first: int
    """The number of the first cell, counted from the epoch."""
    rows: dict[Series, list[int]] = field(default_factory=dict)
    """The counts of each series, from the first cell on; a short list ends with zeros."""

    def add(self, series: Series, cell: int, count: int) -> None:
        """Add `count` to a cell of a series, or of ``other`` if there are too many series."""
        if series not in self.rows and len(self.rows) >= MAX_SERIES:
            series = (series[0], OTHER, *series[2:])
        row = self.rows.setdefault(series, [])
        row.extend([0] * (cell - self.first + 1 - len(row)))
        row[cell - self.first] += count

    def at(self, series: Series, cell: int) -> int:
        """Return the count of a cell of a series."""
        row, index = self.rows.get(series, ()), cell - self.first
        return row[index] if 0 <= index < len(row) else 0

    def dump(self) -> bytes:
        """Return the stored form."""
        rows = [[*series, row] for series, row in self.rows.items()]
        content = {"version": _VERSION, "first": self.first, "rows": rows}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True)
class History:
    """The counts of the last three hours by minute, and of the last three days by hour."""

    minute: int
    """The number of the last minute, counted from the epoch; it is not over yet."""
    minutes: dict[Series, list[int]]
    """The counts of the last `MINUTES` minutes, the latest last."""
    hours: dict[Series, list[int]]
    """The counts of the last `HOURS` hours, the latest last; the latest is not over yet."""


class HistoryWriter:
    """Adds what one process has counted to the history of its queue.

    Args:
        store: Returns the store of the kit's own data.
        clock: Seconds since the epoch.
    """

    def __init__(
        self, store: Callable[[], KitStore], clock: Callable[[], float] = time.time
    ) -> None:
        self._store, self._clock = store, clock

    def add(self, counted: Totals) -> bool:
        """Add counts to the current minute; return False if they could not be added.

        Args:
            counted: What the process has counted since the last call.
        """
        added: Counter[Series] = Counter()
        for series, count in _series_of(counted):
            added[series] += count
        if not added:
            return True
        store, minute = self._store(), int(self._clock() // 60)
        hour = minute // 60
        key = _key_of(hour)
        for _ in range(_TRIES):
            (raw,) = store.get([key])
            grid = _load(raw, cells=60)
            if grid is None or grid.first != hour * 60:
                if grid is not None and not _keep_hour(store, grid, hour):
                    continue
                grid = Grid(hour * 60)
            for series, count in added.items():
                grid.add(series, minute, count)
            if raw is None:
                written = store.put_if_absent(key, grid.dump())
            else:
                written = store.compare_and_set(key, raw, grid.dump())
            if written:
                return True
        return False


def read_history(store: KitStore, now: float) -> History:
    """Return the history of a queue; it takes one round trip, or a few on files.

    Args:
        store: The store of the kit's own data.
        now: Seconds since the epoch.
    """
    minute = int(now // 60)
    keys = [_key_of(hour) for hour in range(_KEYS)]
    *raw_hours, raw_sums = store.get([*keys, _HOURS_KEY])
    grids = [grid for raw in raw_hours if (grid := _load(raw, cells=60)) is not None]
    sums = _load(raw_sums, cells=HOURS) or Grid(0)
    minutes: dict[Series, list[int]] = {}
    hours: dict[Series, list[int]] = {}
    last_hour = minute // 60
    for series, row in sums.rows.items():
        for index, count in enumerate(row):
            _set(hours, HOURS, series, sums.first + index - last_hour, count)
    for grid in grids:
        for series, row in grid.rows.items():
            _set(hours, HOURS, series, grid.first // 60 - last_hour, sum(row))
            for index, count in enumerate(row):
                _set(minutes, MINUTES, series, grid.first + index - minute, count)
    return History(minute, minutes, hours)


def _set(rows: dict[Series, list[int]], length: int, series: Series, ago: int, count: int) -> None:
    """Set the count of a cell; `ago` is 0 for the last cell, -1 for the one before."""
    if count and -length < ago <= 0:
        rows.setdefault(series, [0] * length)[ago - 1] = count


def _keep_hour(store: KitStore, grid: Grid, now: int) -> bool:
    """Copy the sums of an hour to the sums of all hours; return whether they are there."""
    (raw,) = store.get([_HOURS_KEY])
    hour, first = grid.first // 60, now - HOURS + 1
    if not first <= hour < now:
        return True  # too old, or of a clock that was wrong
    old = _load(raw, cells=HOURS) or Grid(first)
    sums = Grid(first)
    for series, row in old.rows.items():
        for index, count in enumerate(row, old.first):
            if count and first <= index < now and index != hour:
                sums.add(series, index, count)
    for series, row in grid.rows.items():
        sums.add(series, hour, sum(row))
    if raw is None:
        return store.put_if_absent(_HOURS_KEY, sums.dump())
    return store.compare_and_set(_HOURS_KEY, raw, sums.dump())


def _key_of(hour: int) -> str:
    return f"{_PREFIX}{hour % _KEYS}"


def _series_of(counted: Totals) -> Iterator[tuple[Series, int]]:
    """Yield the series of a history for counts of a process, and their counts."""
    for (metric, _, *labels), value in counted.items():
        names = tuple(map(history_label, labels))
        if isinstance(value, Durations):
            if metric == TASK_SECONDS and value.count > 0:
                yield (ATTEMPT, *names), value.count
                yield (MILLISECONDS, *names), round(value.seconds * 1000)
        elif value > 0 and metric in (SIGNALS_TOTAL, LOCK_REFUSALS):
            yield (SIGNAL if metric == SIGNALS_TOTAL else REFUSAL, *names), value


def history_label(name: str) -> str:
    """Return the label of a task or a lock in the series of a history."""
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"


def _load(raw: bytes | None, cells: int) -> Grid | None:
    """Return a stored grid; None if there is none, or another content.

    Args:
        raw: The stored value.
        cells: How many cells a row may have.
    """
    if raw is None or len(raw) > _LARGEST:
        return None
    try:
        content = json.loads(raw)
        if content["version"] != _VERSION:
            return None
        rows = (_row(row, cells) for row in content["rows"])
        known = {series: row for series, row in rows if series[0] in _LABELS}
        return Grid(_count(content["first"]), known)
    except FOREIGN_DATA_ERRORS:
        return None


def _row(row: Any, cells: int) -> tuple[Series, list[int]]:
    *series, counts = row
    if not series or not all(isinstance(name, str) for name in series) or len(counts) > cells:
        raise ValueError("not a row of a history")
    if len(series) - 1 != _LABELS.get(series[0], len(series) - 1):
        raise ValueError("not the labels of a series")
    return tuple(series), [_count(count) for count in counts]


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_COUNT:
        raise ValueError("not a count")
    return value
