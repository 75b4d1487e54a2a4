"""The report in few lines: the verdict, and one line for each part of the queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone

from ...metrics.names import SIGNALS_TOTAL, TASK_SECONDS
from ...upkeep import Report
from ...upkeep.reports.problems import list_garbage
from .._shared.durations import format_span, format_time
from .._shared.wording import join_limited, pluralize, verb
from .problems import Problem

_MAX_NAMES = 3
_BYTES = ("bytes", "kB", "MB", "GB", "TB")


def verdict(report: Report, problems: list[Problem]) -> str:
    """Return one sentence: what needs attention, or that nothing does."""
    if problems:
        return f"Needs attention: {_join([problem.name for problem in problems])}."
    garbage = [f"{name} ({command})" for name, command in list_garbage(report)]
    if garbage:
        return f"Nothing needs attention; {_join(garbage)} can be deleted."
    return "Nothing needs attention."


def _join(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def summary(report: Report, zone: str) -> Iterator[tuple[str, str]]:
    """Yield a label and a sentence for each part of the queue.

    Args:
        report: The report.
        zone: The time zone of the times in the schedule.
    """
    yield "waiting", _describe_waiting(report, zone)
    yield "processes", _describe_processes(report)
    yield "locks", _describe_locks(report)
    yield "errors", _describe_errors(report)
    yield "tokens", _describe_tokens(report)
    if report.pauses.active:
        yield "paused", join_limited(report.pauses.active, _MAX_NAMES)
    keys = sum(total.keys for total in report.kinds.values())
    size = sum(total.bytes for total in report.kinds.values())
    yield "store", f"{pluralize(keys, 'key')}, {format_bytes(size)}"
    yield "counted", _describe_counters(report)


def format_bytes(number: int) -> str:
    """Return a number of bytes in a unit that leaves at most four digits, such as ``31.2 MB``."""
    value, unit = float(number), 0
    while value >= 1000 and unit < len(_BYTES) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_BYTES[unit]}" if unit else pluralize(number, "byte")


def format_stored_time(iso: str | None, zone: str = "") -> str:
    """Return a time in ISO format to the second, with its time zone; ``?`` for None.

    Args:
        iso: The time.
        zone: The time zone, if `iso` does not name one.
    """
    if iso is None:
        return "?"
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    if moment.tzinfo is None:
        return f"{format_time(moment)} {zone}"
    return f"{format_time(moment.astimezone(timezone.utc))} UTC"


def _describe_waiting(report: Report, zone: str) -> str:
    schedule = report.schedule
    queued = f"{report.queue_length:,} in the queue, {schedule.length:,} in the schedule"
    first = f", first at {format_stored_time(schedule.first, zone)}" if schedule.first else ""
    return f"{queued}{first}"


def _describe_processes(report: Report) -> str:
    if not report.consumers:
        return "none known; processes without the kit cannot be seen"
    alive = Counter(process.alive for process in report.consumers)
    parts = [f"{alive[True]:,} alive"]
    parts += [f"{alive[False]:,} dead"] if alive[False] else []
    parts += [f"{alive[None]:,} unknown"] if alive[None] else []
    not_dead = [process for process in report.consumers if process.alive is not False]
    running = sum(len(process.running) for process in not_dead)
    lost = sum(len(process.running) for process in report.consumers) - running
    died = ""
    if lost:
        died = f"; {pluralize(lost, 'task')} {verb(lost, 'were')} running in a process that died"
    return f"{', '.join(parts)}; {pluralize(running, 'task')} running{died}"


def _describe_locks(report: Report) -> str:
    locks = report.locks
    if not locks.held:
        return "none held"
    alive = locks.held - locks.stale - locks.unclaimed
    parts = [f"{alive:,} by living processes"] if alive else []
    parts += [f"{locks.stale:,} by dead ones"] if locks.stale else []
    parts += [f"{locks.unclaimed:,} unclaimed or unknown"] if locks.unclaimed else []
    return f"{locks.held:,} held: {', '.join(parts)}"


def _describe_errors(report: Report) -> str:
    total = sum(report.errors.values())
    if not total:
        return "none stored"
    frequent = sorted(report.errors.items(), key=lambda item: -item[1])
    names = join_limited((f"{name} {number:,}" for name, number in frequent), _MAX_NAMES)
    return f"{total:,} stored: {names}"


def _describe_tokens(report: Report) -> str:
    tokens = report.tokens
    parts = [
        f"{number:,} {name}"
        for name, number in (
            ("live", tokens.live),
            ("custom", tokens.custom),
            ("orphaned", tokens.orphaned),
        )
        if number
    ]
    total = tokens.live + tokens.custom + tokens.orphaned
    marked = f" ({tokens.marked:,} marked by a sweep)" if tokens.marked else ""
    swept = f"; last sweep {format_stored_time(tokens.last_sweep)}" if tokens.last_sweep else ""
    return f"{total:,}: {', '.join(parts)}{marked}{swept}" if parts else f"none{swept}"


def _describe_counters(report: Report) -> str:
    signals: Counter[str] = Counter()
    count, seconds = 0, 0.0
    for counter in report.counters:
        if counter["metric"] == SIGNALS_TOTAL:
            signals[counter["labels"]["signal"]] += counter["value"]
        elif counter["metric"] == TASK_SECONDS:
            count += counter["value"]["count"]
            seconds += counter["value"]["seconds"]
    if not signals:
        return "nothing"
    # Without a sink, only what handlers of the preset count is known.
    are_all_counted = not signals.keys().isdisjoint({"executing", "complete"})
    ended = [
        *([f"{signals['complete']:,} done"] if are_all_counted else []),
        pluralize(signals["error"], "error"),
        f"{signals['locked']:,} skipped by locks",
    ]
    mean = f"; mean duration {format_span(seconds / count)}" if count else ""
    return f"{', '.join(ended)}{mean}"
