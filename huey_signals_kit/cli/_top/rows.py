"""The rows of the two panes of ``huey-signals top``: processes with their tasks, and locks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from ...upkeep import LockInfo
from ...upkeep.monitor.model import QueueSnapshot, SeenLock, SeenProcess, SeenTask
from .._shared.durations import format_duration
from .._shared.folding import has_id, shorten
from .._shared.lock_cells import format_held_for, held_seconds, state_of
from .._shared.terminal import printable
from .._shared.wording import pluralize
from .controls import BY_NAME, BY_SKIPS, BY_TIME

PROBLEM_STYLE = "bold red"
_ALIVE = {True: "alive", False: "dead", None: "?"}
_ALIVE_STYLE = {True: "", False: PROBLEM_STYLE, None: "yellow"}
_STATE_WIDTH = 9
_MAX_NAMES = 3
_DURATION_WIDTH = 8
_MIN_NAME = 10
_WIDTH_FOR_KIND = 65
"""Width from which the kind of worker of a process is shown."""


@dataclass(frozen=True)
class Row:
    """One line of a pane."""

    text: Text
    kind: str = "line"
    """The noun for rows that do not fit, as in ``2 more processes``."""
    process: Text | None = None
    """For a task: the line of its process, shown above it when that is scrolled away."""


def process_rows(
    snapshot: QueueSnapshot, width: int, sort: str = "", is_short_of_room: bool = False
) -> list[Row]:
    """Return a row for each process, and below it the rows of its tasks.

    Args:
        snapshot: What to show.
        width: Columns.
        sort: The order; by host and process id unless it is one for tasks.
        is_short_of_room: Whether not all rows fit, so that dead and busy processes come first.
    """
    if not snapshot.processes:
        return [Row(Text("  none known; only processes with the kit are shown", "dim"))]
    processes = sorted(snapshot.processes, key=lambda process: (process.host, process.pid))
    if sort == BY_TIME:
        processes.sort(key=lambda process: -max((t.seconds for t in process.running), default=-1))
    elif sort == BY_NAME:
        processes.sort(key=_first_name)
    elif is_short_of_room:
        processes.sort(key=_rank)
    return [row for process in processes for row in _process_group(process, width, sort)]


def _first_name(process: SeenProcess) -> tuple[bool, str]:
    """Return the first name of its tasks; idle processes come last."""
    return not process.running, min((task.name for task in process.running), default="")


def _rank(process: SeenProcess) -> int:
    """Return the place of `process` where not all fit: dead ones with tasks come first."""
    if process.running or process.unread:
        return 0 if process.alive is False else 1
    return 3 if process.alive is False else 2


def _process_group(process: SeenProcess, width: int, sort: str) -> list[Row]:
    name = f"{process.pid} on {printable(process.host)}"
    kinds = {"": "no worker", "scheduler": "scheduler"}
    kind = kinds.get(process.worker, f"{printable(process.worker)} worker")
    if width >= _WIDTH_FOR_KIND:
        head = Text(f"  {_fit(name, min(40, width - 45))}  {_fit(kind, 15)}  ")
    else:
        head = Text(f"  {_fit(name, width - 28)}  ")
    head.append(f"{_ALIVE[process.alive]:5}  ", _ALIVE_STYLE[process.alive])
    tasks = len(process.running) + process.unread
    if tasks:
        died_with = "died with " if process.alive is False else ""
        head.append(f"{died_with}{pluralize(tasks, 'task')}")
    elif process.alive:
        head.append("idle")
    running = list(process.running)
    if sort == BY_NAME:
        running.sort(key=lambda task: task.name)
    elif sort == BY_TIME:
        running.sort(key=lambda task: -task.seconds)
    rows = [Row(head, "process")]
    rows += [Row(_task(task, width), "task", head) for task in running]
    if process.unread:
        text = f"      {pluralize(process.unread, 'task')} whose name is unknown"
        rows.append(Row(Text(text, "dim"), process=head))
    return rows


def _task(task: SeenTask, width: int) -> Text:
    duration = f"{'~' if task.about else ''}{format_duration(task.seconds)}"
    text = Text(f"    {duration:>{_DURATION_WIDTH}}  ")
    name, task_id = printable(task.name), printable(task.id)
    room = width - cell_len(text.plain)
    if room - 2 - cell_len(task_id) < _MIN_NAME:
        return text.append(_fit_end(name, room))
    name_width = min(room - 2 - cell_len(task_id), max(40, cell_len(name)))
    return text.append(f"{_fit_end(name, name_width)}  ").append(task_id, "dim")


def lock_rows(snapshot: QueueSnapshot, width: int, sort: str = "") -> list[Row]:
    """Return one or two rows for each lock, those of dead processes first.

    Args:
        snapshot: What to show.
        width: Columns.
        sort: The order among dead and among other holders.
    """
    locks = sorted(snapshot.locks, key=lambda seen: seen.lock.name)
    if sort == BY_TIME:
        locks.sort(key=_time_rank)
    elif sort == BY_SKIPS:
        locks.sort(key=lambda seen: -max(seen.lock.skips, sum(n for _, n in seen.turned_away)))
    locks.sort(key=lambda seen: seen.lock.alive is not False)
    name_width = _name_width((seen.lock for seen in locks), width)
    rows = []
    for seen in locks:
        rows.append(Row(_lock(seen.lock, name_width), "lock"))
        if seen.turned_away or seen.lock.skips:
            rows.append(Row(_skips(seen, snapshot.span)))
    return rows


def _time_rank(seen: SeenLock) -> float:
    """Return the place of a lock by the time for which it is held; unknown times come last."""
    seconds = held_seconds(seen.lock)
    return 1.0 if seconds is None else -seconds


def _name_width(locks: Iterable[LockInfo], width: int) -> int:
    """Return the columns for names of locks; an id in a name takes room from the holder."""
    names = [printable(lock.name) for lock in locks]
    longest = max(map(cell_len, names), default=0)
    room = width - 25 if any(map(has_id, names)) else width - 45
    return min(max(24, longest), max(_MIN_NAME, room))


def _lock(lock: LockInfo, name_width: int) -> Text:
    name = _fit(shorten(printable(lock.name), name_width), name_width)
    text = Text(f"  {name}  {_fit(format_held_for(lock), _DURATION_WIDTH)}  ")
    text.append(f"{state_of(lock):{_STATE_WIDTH}}  ", _ALIVE_STYLE[lock.alive])
    return text.append(_describe_holder(lock))


def _describe_holder(lock: LockInfo) -> str:
    if lock.kind == "semaphore":
        return pluralize(len(lock.slots), "slot")
    if lock.pid is None:
        return "no named holder"
    task = f", {printable(lock.task_name)}" if lock.task_name else ""
    return f"{lock.pid} on {printable(lock.host)}{task}"


def _skips(seen: SeenLock, span: float | None) -> Text:
    hour = f"{pluralize(seen.lock.skips, 'skip')} in the last hour"
    recent = f", {seen.recent:,} in {span:.0f} s" if seen.recent and span else ""
    names = [f"{printable(name)} {number:,}" for name, number in seen.turned_away[:_MAX_NAMES]]
    more = len(seen.turned_away) - len(names)
    tasks = ", ".join([*names, *([f"{more:,} more"] if more else [])])
    return Text(f"      {hour}{recent}{'; total: ' if tasks else ''}{tasks}", "dim")


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
