"""The text of ``huey-signals top``, for any width and height, computed from a snapshot alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from ...upkeep import LockInfo
from ...upkeep.monitor.model import (
    EVENTS,
    FIGURES,
    EventCount,
    Figure,
    QueueSnapshot,
    SeenLock,
    SeenProcess,
    SeenTask,
)
from .._shared.durations import format_duration
from .._shared.folding import fold
from .._shared.lock_cells import format_held_for
from .._shared.terminal import printable, program
from .._shared.wording import pluralize

_PROBLEM_STYLE = "bold red"
_ALIVE = {True: "alive", False: "dead", None: "?"}
_ALIVE_STYLE = {True: "", False: _PROBLEM_STYLE, None: "yellow"}
_LABEL_WIDTH, _NUMBER_WIDTH = 14, 9
_MOST_NAMES = 3
_MOST_PROBLEM_LINES = 3
_OLD_SECONDS = 10.0
"""Seconds after which the age of a figure is shown."""
_UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"))

# A small window leaves out the less important lines. Lines of height that are needed for:
_HEIGHT_FOR_GAPS = 20
_HEIGHT_FOR_TOTALS = 15
_HEIGHT_FOR_FIGURES = 10


@dataclass(frozen=True)
class _Row:
    text: Text
    kind: str = "line"
    """The noun for rows that do not fit, as in ``2 more processes``."""


def render(
    snapshot: QueueSnapshot,
    storage: str,
    width: int,
    height: int | None = None,
    problem: str = "",
) -> list[Text]:
    """Return the lines of one update; rows that do not fit are counted.

    Args:
        snapshot: What to show.
        storage: The kind and place of the storage.
        width: Columns of the longest line.
        height: Number of lines; None for an update that is printed once, without changes and rates.
        problem: Why there is no newer snapshot, or an empty text.
    """
    is_live = height is not None
    gaps = [Text()] if height is None or height >= _HEIGHT_FOR_GAPS else []
    head = _head(snapshot, storage, width, problem)
    if height is None or height >= _HEIGHT_FOR_FIGURES:
        has_totals = height is None or height >= _HEIGHT_FOR_TOTALS
        blocks = _store(snapshot, is_live, has_totals), _events(snapshot, is_live, has_totals)
        head += [line for block in blocks for line in [*gaps, *block]]
    titles = _process_title(snapshot), _lock_title(snapshot)
    room = None if height is None else max(0, height - len(head) - 2 - 2 * len(gaps))
    process_rows, lock_rows = _process_rows(snapshot, width, room), _lock_rows(snapshot, width)
    processes, locks = _share_room(room, process_rows, lock_rows)
    lines = [*head, *gaps, titles[0], *processes, *gaps, titles[1], *locks]
    return [_cut(line, width) for line in lines[:height]]


def _head(snapshot: QueueSnapshot, storage: str, width: int, problem: str) -> list[Text]:
    clock = f"{'as of ' if problem else ''}{snapshot.at:%H:%M:%S} UTC"
    left = Text.assemble((printable(snapshot.queue), "bold"), f" on {printable(storage)}")
    left.truncate(max(1, width - len(clock) - 2), overflow="ellipsis", pad=True)
    first = Text.assemble(left, (f"  {clock}", _PROBLEM_STYLE if problem else "dim"))
    if not (warning := problem or _describe_unreadable(snapshot)):
        return [first]
    lines = fold(warning, width)[:_MOST_PROBLEM_LINES]
    return [first, *(Text(line, _PROBLEM_STYLE) for line in lines)]


def _describe_unreadable(snapshot: QueueSnapshot) -> str:
    if not snapshot.unreadable:
        return ""
    records = pluralize(snapshot.unreadable, "record")
    return f"{records} of the ledger cannot be read: see {program.name} report"


def _store(snapshot: QueueSnapshot, is_live: bool, has_totals: bool) -> list[Text]:
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
    if snapshot.store_age < _OLD_SECONDS:
        return ""
    return f", {format_duration(snapshot.store_age).split()[0]} old"


def _events(snapshot: QueueSnapshot, is_live: bool, has_totals: bool) -> list[Text]:
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
    return Text.assemble((label.ljust(_LABEL_WIDTH), "bold"), (columns, "dim"))


def _numbers(label: str, values: Sequence[str]) -> Text:
    columns = "".join(value.rjust(_NUMBER_WIDTH) for value in values)
    return Text(f"  {label}".ljust(_LABEL_WIDTH) + columns)


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


def _process_title(snapshot: QueueSnapshot) -> Text:
    alive = Counter(process.alive for process in snapshot.processes)
    not_dead = [process for process in snapshot.processes if process.alive is not False]
    tasks = sum(len(process.running) + process.unread for process in not_dead)
    parts = [f"{alive[True]:,} alive", f"{pluralize(tasks, 'task')} running"]
    if alive[None]:
        parts.insert(1, f"{alive[None]:,} unknown")
    title = Text.assemble(("processes".ljust(_LABEL_WIDTH), "bold"), ", ".join(parts))
    return title.append(f", {alive[False]:,} dead", _PROBLEM_STYLE) if alive[False] else title


def _process_rows(snapshot: QueueSnapshot, width: int, room: int | None) -> list[_Row]:
    """Return the rows of processes and their tasks, by host; busy ones first if room is short."""
    if not snapshot.processes:
        return [_Row(Text("  none known; only processes with the kit are shown", "dim"))]
    processes = sorted(snapshot.processes, key=lambda process: (process.host, process.pid))
    groups = [(process, _process_group(process, width)) for process in processes]
    if room is not None and sum(len(rows) for _, rows in groups) > room // 2:
        groups.sort(key=lambda group: _rank(group[0]))
    return [row for _, rows in groups for row in rows]


def _rank(process: SeenProcess) -> int:
    """Return the place of `process` where not all fit: dead ones with tasks come first."""
    if process.running or process.unread:
        return 0 if process.alive is False else 1
    return 3 if process.alive is False else 2


def _process_group(process: SeenProcess, width: int) -> list[_Row]:
    name = _fit(f"{process.pid} on {printable(process.host)}", width - 45)
    kinds = {"": "no worker", "scheduler": "scheduler"}
    kind = kinds.get(process.worker, f"{printable(process.worker)} worker")
    head = Text(f"  {name}  {_fit(kind, 15)}  ")
    head.append(f"{_ALIVE[process.alive]:5}  ", _ALIVE_STYLE[process.alive])
    tasks = len(process.running) + process.unread
    if tasks:
        died_with = "died with " if process.alive is False else ""
        head.append(f"{died_with}{pluralize(tasks, 'task')}")
    elif process.alive:
        head.append("idle")
    rows = [_Row(head, "process")]
    rows += [_Row(_task(task, width), "task") for task in process.running]
    if process.unread:
        text = f"      {pluralize(process.unread, 'task')} whose name is unknown"
        rows.append(_Row(Text(text, "dim")))
    return rows


def _task(task: SeenTask, width: int) -> Text:
    duration = f"{'~' if task.about else ''}{format_duration(task.seconds)}"
    name = _fit_end(printable(task.name), max(10, width - 16 - len(printable(task.id))))
    return Text.assemble(f"    {duration:>8}  {name}  ", (printable(task.id), "dim"))


def _lock_title(snapshot: QueueSnapshot) -> Text:
    dead = sum(seen.lock.alive is False for seen in snapshot.locks)
    held = f"{len(snapshot.locks):,} held"
    title = Text.assemble(("locks".ljust(_LABEL_WIDTH), "bold"), held)
    if dead:
        title.append(f", {dead:,} by dead processes", _PROBLEM_STYLE)
    if snapshot.locks_age is None:
        title.append(", searching for more", "dim")
    elif snapshot.locks_age >= _OLD_SECONDS:
        title.append(f", last search {format_duration(snapshot.locks_age)} ago", "dim")
    return title


def _lock_rows(snapshot: QueueSnapshot, width: int) -> list[_Row]:
    rows = []
    for seen in sorted(snapshot.locks, key=lambda seen: seen.lock.alive is not False):
        rows.append(_Row(_lock(seen.lock, width), "lock"))
        if seen.turned_away or seen.lock.skips:
            rows.append(_Row(_skips(seen, snapshot.span)))
    return rows


def _lock(lock: LockInfo, width: int) -> Text:
    name, held_for = _fit(printable(lock.name), max(10, width - 56)), _fit(format_held_for(lock), 8)
    text = Text(f"  {name}  {held_for}  ")
    text.append(f"{_ALIVE[lock.alive]:5}  ", _ALIVE_STYLE[lock.alive])
    return text.append(_describe_holder(lock))


def _describe_holder(lock: LockInfo) -> str:
    if lock.kind == "semaphore":
        return pluralize(len(lock.slots), "slot")
    if lock.pid is None:
        return "holder unknown"
    task = f", {printable(lock.task_name)}" if lock.task_name else ""
    return f"{lock.pid} on {printable(lock.host)}{task}"


def _skips(seen: SeenLock, span: float | None) -> Text:
    hour = f"{pluralize(seen.lock.skips, 'skip')} in the last hour"
    recent = f", {seen.recent:,} in {span:.0f} s" if seen.recent and span else ""
    names = [f"{printable(name)} {number:,}" for name, number in seen.turned_away[:_MOST_NAMES]]
    more = len(seen.turned_away) - len(names)
    tasks = ", ".join([*names, *([f"{more:,} more"] if more else [])])
    return Text(f"      {hour}{recent}{'; total: ' if tasks else ''}{tasks}", "dim")


def _share_room(
    room: int | None, first: list[_Row], second: list[_Row]
) -> tuple[list[Text], list[Text]]:
    """Return the rows that fit: half of the room for each block, and what the other leaves."""
    if room is None:
        return [row.text for row in first], [row.text for row in second]
    part = min(len(first), max(room - room // 2, room - len(second)))
    return _limit(first, part), _limit(second, room - part)


def _limit(rows: list[_Row], room: int) -> list[Text]:
    """Return the first rows; if some do not fit, the last line counts them."""
    if len(rows) <= room:
        return [row.text for row in rows]
    if room < 1:
        return []
    hidden = Counter(row.kind for row in rows[room - 1 :])
    more = ", ".join(_describe_more(number, kind) for kind, number in sorted(hidden.items()))
    return [*(row.text for row in rows[: room - 1]), Text(f"  and {more}", "dim")]


def _describe_more(number: int, kind: str) -> str:
    return f"{number:,} more {pluralize(number, kind).split()[1]}"


def _fit(text: str, width: int) -> str:
    """Return `text` in exactly `width` columns, padded or shortened at its end."""
    fitted = Text(text)
    fitted.truncate(max(1, width), overflow="ellipsis", pad=True)
    return fitted.plain


def _fit_end(text: str, width: int) -> str:
    """Return `text` in exactly `width` columns, padded or shortened at its start.

    For names of tasks, whose end says more than their package.
    """
    if cell_len(text) <= width:
        return _fit(text, width)
    end = text[-width:]
    while cell_len(end) >= width:
        end = end[1:]
    return _fit(f"…{end}", width)


def _cut(text: Text, width: int) -> Text:
    text.truncate(max(1, width), overflow="ellipsis")
    return text
