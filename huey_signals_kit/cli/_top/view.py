"""What ``huey-signals top`` shows, as lines of text: pure, of any width and height."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from ...upkeep import LockInfo
from .._locks.view import held_for, short_span
from .._shared.tables import counted
from .._shared.terminal import lines, shown
from .model import EVENTS, FIGURES, Event, Figure, QueueSnapshot, SeenLock, SeenProcess, SeenTask

_WRONG = "bold red"
_ALIVE = {True: "alive", False: "dead", None: "?"}
_ALIVE_STYLE = {True: "", False: _WRONG, None: "yellow"}
_LABEL, _NUMBER = 14, 9
_ROOMY, _SPARE, _LEAST = 20, 15, 10
_MOST_NAMES = 3
_PROBLEM_LINES = 3
_OLD_SECONDS = 10.0
"""What is older is said to be."""
_UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"))


@dataclass(frozen=True)
class _Row:
    text: Text
    kind: str = "line"
    """What it is counted as where it does not fit."""


def screen(
    seen: QueueSnapshot, where: str, width: int, height: int | None = None, problem: str = ""
) -> list[Text]:
    """Lines no longer than *width* columns, and no more than *height* if that is given.

    What does not fit is counted. *where* is the storage in words, *problem* what is wrong with
    it now. Without *height* it is one look, with nothing of what changes.
    """
    live = height is not None
    gaps = [Text()] if height is None or height >= _ROOMY else []
    head = _head(seen, where, width, problem)
    if height is None or height >= _LEAST:
        spare = height is None or height >= _SPARE
        blocks = _store(seen, live, spare), _events(seen, live, spare)
        head += [line for block in blocks for line in [*gaps, *block]]
    titles = _process_title(seen), _lock_title(seen)
    room = None if height is None else max(0, height - len(head) - 2 - 2 * len(gaps))
    processes, locks = _shared(room, _process_rows(seen, width, room), _lock_rows(seen, width))
    found = [*head, *gaps, titles[0], *processes, *gaps, titles[1], *locks]
    return [_cut(each, width) for each in found[:height]]


def _head(seen: QueueSnapshot, where: str, width: int, problem: str) -> list[Text]:
    clock = f"{'as of ' if problem else ''}{seen.at:%H:%M:%S} UTC"
    left = Text.assemble((shown(seen.queue), "bold"), f" on {shown(where)}")
    left.truncate(max(1, width - len(clock) - 2), overflow="ellipsis", pad=True)
    first = Text.assemble(left, (f"  {clock}", _WRONG if problem else "dim"))
    if not (said := problem or _unreadable(seen)):
        return [first]
    return [first, *(Text(line, _WRONG) for line in lines(Text(said), width)[:_PROBLEM_LINES])]


def _unreadable(seen: QueueSnapshot) -> str:
    if not seen.unreadable:
        return ""
    return f"{counted(seen.unreadable, 'record')} of the ledger cannot be read: see report"


def _store(seen: QueueSnapshot, live: bool, spare: bool) -> list[Text]:
    figures = [seen.store.get(name, Figure(None, None)) for name in FIGURES]
    found = [_titles(f"store{_age(seen)}", FIGURES)]
    found.append(_numbers("now", [_short(each.now) for each in figures]))
    if live and spare:
        found.append(_numbers("since start", [_signed(each.change) for each in figures]))
    return found


def _age(seen: QueueSnapshot) -> str:
    if seen.store_age is None:
        return ", reading"
    if seen.store_age < _OLD_SECONDS:
        return ""
    return f", {short_span(seen.store_age).split()[0]} old"


def _events(seen: QueueSnapshot, live: bool, spare: bool) -> list[Text]:
    events = [seen.events.get(name, Event(None, None)) for name in EVENTS]
    rates = ["-" if each.rate is None else f"{each.rate:,.1f}" for each in events]
    found = [_titles("events", EVENTS)]
    if live:
        found.append(_numbers("per second", rates))
    if spare:
        found.append(_numbers("in all", [_short(each.total) for each in events]))
    return found


def _titles(label: str, names: Sequence[str]) -> Text:
    columns = "".join(name.rjust(_NUMBER) for name in names)
    return Text.assemble((label.ljust(_LABEL), "bold"), (columns, "dim"))


def _numbers(label: str, values: Sequence[str]) -> Text:
    return Text(f"  {label}".ljust(_LABEL) + "".join(each.rjust(_NUMBER) for each in values))


def _short(value: int | None) -> str:
    """At most eight characters."""
    if value is None:
        return "-"
    for size, unit in _UNITS:
        if abs(value) >= size:
            return f"{value / size:.1f}{unit}"
    return f"{value:,}"


def _signed(value: int | None) -> str:
    return f"+{_short(value)}" if value and value > 0 else _short(value)


def _process_title(seen: QueueSnapshot) -> Text:
    alive = Counter(each.alive for each in seen.processes)
    there = [each for each in seen.processes if each.alive is not False]
    tasks = sum(len(each.running) + each.unread for each in there)
    parts = [f"{alive[True]:,} alive", f"{counted(tasks, 'task')} running"]
    if alive[None]:
        parts.insert(1, f"{alive[None]:,} unknown")
    title = Text.assemble(("processes".ljust(_LABEL), "bold"), ", ".join(parts))
    return title.append(f", {alive[False]:,} dead", _WRONG) if alive[False] else title


def _process_rows(seen: QueueSnapshot, width: int, room: int | None) -> list[_Row]:
    if not seen.processes:
        return [_Row(Text("  none has said that it works here; only those with the kit do", "dim"))]
    groups = [(each, _process_group(each, width)) for each in sorted(seen.processes, key=_by_place)]
    if room is not None and sum(len(rows) for _, rows in groups) > room // 2:
        groups.sort(key=lambda group: _rank(group[0]))
    return [row for _, rows in groups for row in rows]


def _by_place(process: SeenProcess) -> tuple[str, int]:
    return process.host, process.pid


def _rank(process: SeenProcess) -> int:
    """What a person has to see first."""
    if process.running or process.unread:
        return 0 if process.alive is False else 1
    return 3 if process.alive is False else 2


def _process_group(process: SeenProcess, width: int) -> list[_Row]:
    place = _fit(f"{process.pid} on {shown(process.host)}", width - 45)
    kind = {"": "no worker", "scheduler": "scheduler"}.get(process.worker)
    head = Text(f"  {place}  {_fit(kind or f'{shown(process.worker)} worker', 15)}  ")
    head.append(f"{_ALIVE[process.alive]:5}  ", _ALIVE_STYLE[process.alive])
    tasks = len(process.running) + process.unread
    verb = "died with " if process.alive is False else ""
    head.append(f"{verb}{counted(tasks, 'task')}" if tasks else "idle" if process.alive else "")
    rows = [_Row(head, "process")]
    rows += [_Row(_task(each, width), "task") for each in process.running]
    if process.unread:
        text = Text(f"      {counted(process.unread, 'task')} that it cannot name", "dim")
        rows.append(_Row(text))
    return rows


def _task(task: SeenTask, width: int) -> Text:
    span = f"{'~' if task.about else ''}{short_span(task.seconds)}"
    name = _end_of(shown(task.name), max(10, width - 16 - len(shown(task.id))))
    return Text.assemble(f"    {span:>8}  {name}  ", (shown(task.id), "dim"))


def _lock_title(seen: QueueSnapshot) -> Text:
    dead = sum(each.lock.alive is False for each in seen.locks)
    title = Text.assemble(("locks".ljust(_LABEL), "bold"), f"{len(seen.locks):,} held")
    if dead:
        title.append(f", {dead:,} by the dead", _WRONG)
    if seen.locks_age is None:
        title.append(", looking for more", "dim")
    elif seen.locks_age >= _OLD_SECONDS:
        title.append(f", new ones looked for {short_span(seen.locks_age)} ago", "dim")
    return title


def _lock_rows(seen: QueueSnapshot, width: int) -> list[_Row]:
    rows = []
    for each in sorted(seen.locks, key=lambda found: found.lock.alive is not False):
        rows.append(_Row(_lock(each.lock, width), "lock"))
        if each.turned_away or each.lock.skips:
            rows.append(_Row(_skips(each, seen.span)))
    return rows


def _lock(lock: LockInfo, width: int) -> Text:
    text = Text(f"  {_fit(shown(lock.name), max(10, width - 56))}  {_fit(held_for(lock), 8)}  ")
    return text.append(f"{_ALIVE[lock.alive]:5}  ", _ALIVE_STYLE[lock.alive]).append(_holder(lock))


def _holder(lock: LockInfo) -> str:
    if lock.kind == "semaphore":
        return counted(len(lock.slots), "slot")
    if lock.pid is None:
        return "holder unknown"
    task = f", {shown(lock.task_name)}" if lock.task_name else ""
    return f"{lock.pid} on {shown(lock.host)}{task}"


def _skips(seen: SeenLock, span: float | None) -> Text:
    recent = f", {seen.recent:,} in {span:.0f} s" if seen.recent and span else ""
    names = [f"{shown(name)} {number:,}" for name, number in seen.turned_away[:_MOST_NAMES]]
    more = len(seen.turned_away) - len(names)
    told = ", ".join([*names, *([f"{more:,} more"] if more else [])])
    hour = f"{counted(seen.lock.skips, 'skip')} in the last hour"
    return Text(f"      {hour}{recent}{'; in all: ' if told else ''}{told}", "dim")


def _shared(
    room: int | None, first: list[_Row], second: list[_Row]
) -> tuple[list[Text], list[Text]]:
    """Each gets half of the *room*, and what the other leaves."""
    if room is None:
        return [each.text for each in first], [each.text for each in second]
    part = min(len(first), max(room - room // 2, room - len(second)))
    return _fitted(first, part), _fitted(second, room - part)


def _fitted(rows: list[_Row], room: int) -> list[Text]:
    if len(rows) <= room:
        return [each.text for each in rows]
    if room < 1:
        return []
    hidden = Counter(each.kind for each in rows[room - 1 :])
    told = ", ".join(_more(number, kind) for kind, number in sorted(hidden.items()))
    return [*(each.text for each in rows[: room - 1]), Text(f"  and {told}", "dim")]


def _more(number: int, kind: str) -> str:
    return f"{number:,} more {counted(number, kind).split()[1]}"


def _fit(text: str, width: int) -> str:
    """*text* in exactly *width* columns."""
    found = Text(text)
    found.truncate(max(1, width), overflow="ellipsis", pad=True)
    return found.plain


def _end_of(text: str, width: int) -> str:
    """The same of its end: that of a task's name says more than its package."""
    if cell_len(text) <= width:
        return _fit(text, width)
    found = text[-width:]
    while cell_len(found) >= width:
        found = found[1:]
    return _fit(f"…{found}", width)


def _cut(text: Text, width: int) -> Text:
    text.truncate(max(1, width), overflow="ellipsis")
    return text
