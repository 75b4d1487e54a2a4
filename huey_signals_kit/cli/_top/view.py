"""The text of ``huey-signals top``, for any width and height, computed from an update alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone

from rich.text import Text

from ...ledger import History
from ...upkeep.monitor.model import QueueSnapshot
from .._shared.durations import format_duration
from .._shared.folding import fold, shorten
from .._shared.terminal import printable, program
from .._shared.wording import pluralize
from .controls import LOCKS, PROCESSES, Controls
from .figures import LABEL_WIDTH, OLD_SECONDS, event_lines, store_lines
from .history import history_lines
from .reading import Pause
from .rows import PROBLEM_STYLE, Row, lock_rows, process_rows

_MAX_PROBLEM_LINES = 3
_MAX_PAUSES = 5

# A small window leaves out the less important lines. Lines of height that are needed for:
_HEIGHT_FOR_ALL_GAPS = 30
_HEIGHT_FOR_GAPS = 20
_HEIGHT_FOR_HISTORY = 18
_HEIGHT_FOR_TOTALS = 15
_HEIGHT_FOR_FIGURES = 10
_HEIGHT_FOR_FOOTER = 6

_KEYS = "q quit  arrows PgDn scroll  Tab {other}  sort "
_SORTS = (("p", "process"), ("t", "time"), ("n", "name"), ("s", "skips"))


def render(
    snapshot: QueueSnapshot,
    storage: str,
    width: int,
    height: int | None = None,
    problem: str = "",
    *,
    pauses: Sequence[Pause] = (),
    history: History | None = None,
    zone: str = "UTC",
    controls: Controls | None = None,
    has_keys: bool = True,
) -> list[Text]:
    """Return the lines of one update; rows that do not fit are counted.

    Args:
        snapshot: What to show.
        storage: The kind and place of the storage.
        width: Columns of the longest line.
        height: Number of lines; None for an update that is printed once, without changes and rates.
        problem: Why there is no newer snapshot, or an empty text.
        pauses: The pause switches that stop tasks now.
        history: The counts by minute; None to leave them out.
        zone: The time zone of the Huey.
        controls: What the user has chosen; it is given the sizes of the panes.
        has_keys: Whether keys can be read, which the last line says.
    """
    controls = controls or Controls()
    gaps = [Text()] if height is None or height >= _HEIGHT_FOR_GAPS else []
    head = _head(snapshot, storage, width, problem)
    head += _figures(snapshot, height, width, history)
    if pauses:
        head += [*_wide_gaps(height), _paused(pauses, snapshot.at, zone)]
    footer = _footer(controls, has_keys) if height and height >= _HEIGHT_FOR_FOOTER else []
    taken = len(head) + len(footer) + 2 + 2 * len(gaps)
    room = None if height is None else max(0, height - taken)
    processes = process_rows(snapshot, width, controls.sort)
    if room is not None and len(processes) > room // 2:
        processes = process_rows(snapshot, width, controls.sort, is_short_of_room=True)
    locks = lock_rows(snapshot, width, controls.sort)
    process_room, lock_room = _share_room(room, len(processes), len(locks))
    if room is not None:
        controls.set_extent(PROCESSES, len(processes), process_room)
        controls.set_extent(LOCKS, len(locks), lock_room)
    panes = []
    for name, title, pane, part in (
        (PROCESSES, _process_title(snapshot), processes, process_room),
        (LOCKS, _lock_title(snapshot), locks, lock_room),
    ):
        offset = controls.offset(name) if room is not None else 0
        if offset:
            title.append(f", {offset:,} {'line' if offset == 1 else 'lines'} above", "dim")
        panes += [*gaps, title, *_visible(pane, offset, part)]
    lines = [_cut(line, width) for line in [*head, *panes]]
    if height is None:
        return lines
    lines = lines[: height - len(footer)]
    lines += [Text()] * (height - len(footer) - len(lines)) if footer else []
    return [*lines, *(_cut(line, width) for line in footer)]


def _wide_gaps(height: int | None) -> list[Text]:
    return [Text()] if height is None or height >= _HEIGHT_FOR_ALL_GAPS else []


def _head(snapshot: QueueSnapshot, storage: str, width: int, problem: str) -> list[Text]:
    clock = f"{'as of ' if problem else ''}{snapshot.at:%H:%M:%S} UTC"
    left = Text.assemble((printable(snapshot.queue), "bold"), f" on {printable(storage)}")
    left.truncate(max(1, width - len(clock) - 2), overflow="ellipsis", pad=True)
    first = Text.assemble(left, (f"  {clock}", PROBLEM_STYLE if problem else "dim"))
    if not (warning := problem or _describe_unreadable(snapshot)):
        return [first]
    lines = fold(warning, width)[:_MAX_PROBLEM_LINES]
    return [first, *(Text(line, PROBLEM_STYLE) for line in lines)]


def _describe_unreadable(snapshot: QueueSnapshot) -> str:
    if not snapshot.unreadable:
        return ""
    records = pluralize(snapshot.unreadable, "record")
    return f"{records} of the ledger cannot be read: see {program.name} report"


def _figures(
    snapshot: QueueSnapshot, height: int | None, width: int, history: History | None
) -> list[Text]:
    """Return the tables of figures and the history, as far as the window is high enough."""
    if height is not None and height < _HEIGHT_FOR_FIGURES:
        return []
    is_live, has_totals = height is not None, height is None or height >= _HEIGHT_FOR_TOTALS
    blocks = [
        store_lines(snapshot, is_live, has_totals),
        event_lines(snapshot, is_live, has_totals),
    ]
    if history is not None and (height is None or height >= _HEIGHT_FOR_HISTORY):
        blocks.append(history_lines(history, width))
    return [line for block in blocks if block for line in [*_wide_gaps(height), *block]]


def _paused(pauses: Sequence[Pause], now: datetime, zone: str) -> Text:
    """Return a line that names the tasks that are paused, and until when."""
    names = [f"{printable(pause.task)} {_describe_end(pause, now, zone)}" for pause in pauses]
    more = f" and {len(names) - _MAX_PAUSES:,} more" if len(names) > _MAX_PAUSES else ""
    text = ", ".join(names[:_MAX_PAUSES]) + more
    return Text.assemble((f"{'paused':{LABEL_WIDTH}}", "bold"), (text, "yellow"))


def _describe_end(pause: Pause, now: datetime, zone: str) -> str:
    if pause.once:
        return "for the next run"
    if pause.until is None:
        return "forever"
    until = pause.until
    if until.tzinfo is not None:
        until, zone = until.astimezone(timezone.utc), "UTC"
    is_today = until.date() == now.date()
    return f"until {until:%H:%M} {zone}" if is_today else f"until {until:%Y-%m-%d %H:%M} {zone}"


def _footer(controls: Controls, has_keys: bool) -> list[Text]:
    """Return the line that says which keys there are."""
    if not has_keys:
        return [Text("Ctrl-C quits", "dim")]
    other = LOCKS if controls.scrolled_pane() == PROCESSES else PROCESSES
    text = Text(_KEYS.format(other=other), "dim")
    for key, name in _SORTS:
        style = "bold reverse" if name == controls.sort else "dim"
        text.append(f"{key} {name}", style).append(" ")
    text.rstrip()
    return [text]


def _process_title(snapshot: QueueSnapshot) -> Text:
    alive = Counter(process.alive for process in snapshot.processes)
    not_dead = [process for process in snapshot.processes if process.alive is not False]
    tasks = sum(len(process.running) + process.unread for process in not_dead)
    parts = [f"{alive[True]:,} alive", f"{pluralize(tasks, 'task')} running"]
    if alive[None]:
        parts.insert(1, f"{alive[None]:,} unknown")
    title = Text.assemble(("processes".ljust(LABEL_WIDTH), "bold"), ", ".join(parts))
    return title.append(f", {alive[False]:,} dead", PROBLEM_STYLE) if alive[False] else title


def _lock_title(snapshot: QueueSnapshot) -> Text:
    dead = sum(seen.lock.alive is False for seen in snapshot.locks)
    held = f"{len(snapshot.locks):,} held"
    title = Text.assemble(("locks".ljust(LABEL_WIDTH), "bold"), held)
    if dead:
        title.append(f", {dead:,} by dead processes", PROBLEM_STYLE)
    if snapshot.locks_age is None:
        title.append(", searching for more", "dim")
    elif snapshot.locks_age >= OLD_SECONDS:
        title.append(f", last search {format_duration(snapshot.locks_age)} ago", "dim")
    return title


def _share_room(room: int | None, processes: int, locks: int) -> tuple[int, int]:
    """Return the lines of each pane: half of the room, and what the other leaves.

    Args:
        room: The lines of both; None for as many as there are rows.
        processes: Rows of the processes.
        locks: Rows of the locks.
    """
    if room is None:
        return processes, locks
    process_room = min(processes, max(room - room // 2, room - locks))
    return process_room, room - process_room


def _visible(rows: list[Row], offset: int, room: int) -> list[Text]:
    """Return the rows of a pane that are on the screen.

    If some do not fit below, the last line counts them. If the line of the first task's process is
    scrolled away, it is shown in place of that task, so as many lines are hidden as the title says.
    """
    below = rows[offset:]
    shown = [row.text for row in below[:room]]
    if shown and below[0].process is not None and offset:
        shown[0] = below[0].process
    if len(below) <= room or room < 1:
        return shown
    hidden = Counter(row.kind for row in below[room - 1 :])
    more = ", ".join(_describe_more(number, kind) for kind, number in sorted(hidden.items()))
    return [*shown[: room - 1], Text(f"  and {more}", "dim")]


def _describe_more(number: int, kind: str) -> str:
    return f"{number:,} more {pluralize(number, kind).split()[1]}"


def _cut(text: Text, width: int) -> Text:
    """Cut a line at the edge of the screen, but not within an id."""
    kept = shorten(text.plain, max(1, width))
    if kept != text.plain:
        text.truncate(max(1, width), overflow="ellipsis")
        if text.plain != kept:
            return Text(kept)
    return text
