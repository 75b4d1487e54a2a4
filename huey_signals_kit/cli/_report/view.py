"""The report as text: the verdict and a summary, or all details."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import Any

from rich.cells import cell_len
from rich.console import Console

from ...upkeep import Consumer, Report
from ...upkeep.reports.problems import count_lock_errors
from .._shared.durations import format_span, zone_of
from .._shared.folding import fold
from .._shared.tables import print_table
from .._shared.terminal import print_command, print_text, program, text_width
from .._shared.wording import join_limited, pluralize, verb
from .problems import Problem
from .summary import format_stored_time, summary, verdict

_MAX_ROWS = 10
"""Maximum rows of a table of classes, tasks or locks."""

_LABEL_WIDTH = 11
_STATES = {True: "alive", False: "dead", None: "unknown"}


def print_report(
    report: Report, huey: Any, huey_name: str, problems: list[Problem], has_details: bool
) -> None:
    """Print the report on stdout: the verdict, the summary, details, then what to do.

    Args:
        report: The report.
        huey: The Huey.
        huey_name: The Huey as named by the user, for commands to copy.
        problems: What needs attention.
        has_details: Whether to print the tables.
    """
    zone = zone_of(huey)
    print_text(verdict(report, problems), colour="red" if problems else "green")
    print_text()
    used = 2 + _print_summary(report, zone)
    print_text()
    if has_details:
        _print_details(report, zone)
    commands = _cleanup(report, huey_name)
    if not has_details:
        commands.append(("All details", ["report", huey_name, "--details"]))
    if problems:
        used += 1 + sum(_command_lines(*command) for command in commands)
        _print_problems(problems, None if has_details else _room(used))
    for reason, words in commands:
        if _command_lines(reason, words) == 1:
            print_text(f"{reason}: {program.command(*words)}")
        else:
            print_text(f"{reason}:")
            print_command(*words)


def _command_lines(reason: str, words: list[str]) -> int:
    """Return how many lines a command to copy takes, with the reason for it before it."""
    line = f"{reason}: {program.command(*words)}"
    return 1 if cell_len(line) <= text_width() else 1 + len(fold(f"{reason}:", text_width()))


def _print_summary(report: Report, zone: str) -> int:
    """Print the lines of the summary; return how many."""
    now = datetime.now(timezone.utc)
    head = (
        f"Queue {report.queue}, storage {report.storage}; read at {now:%Y-%m-%d %H:%M:%S} UTC "
        f"in {format_span(report.seconds)}"
    )
    if report.trusted_serializer:
        head += f". Its serializer {report.serializer} is your own; the kit uses it unchecked."
    print_text(head)
    lines = len(fold(head, text_width()))
    for label, sentence in summary(report, zone):
        print_text(sentence, first=label.ljust(_LABEL_WIDTH))
        lines += len(fold(sentence, text_width() - _LABEL_WIDTH))
    return lines


def _room(used: int) -> int | None:
    """Return how many lines are left on the screen; None if stdout is not a terminal."""
    # Below the problems are an empty line and the prompt of the shell.
    return Console().height - used - 2 if sys.stdout.isatty() else None


def _print_problems(problems: list[Problem], room: int | None) -> None:
    """Print a paragraph for each problem, as long as there are lines left.

    All of them are named in the first sentence of the report.
    """
    lines = 1
    shown = 0
    for problem in problems:
        lines += len(fold(problem.text, text_width() - 2))
        if room is not None and lines > room:
            break
        shown += 1
    if shown:
        print_text("Needs attention:")
        for problem in problems[:shown]:
            print_text(problem.text, first="- ")
        print_text()


def _print_details(report: Report, zone: str) -> None:
    _print_kinds(report)
    _print_errors(report)
    _print_tokens(report)
    _print_pauses(report)
    _print_locks(report)
    _print_messages(report, zone)
    _print_processes(report)
    _print_counters(report)


def _print_kinds(report: Report) -> None:
    """Print how many keys of each kind are stored, and how many bytes they take."""
    rows = [
        (kind.replace("_", " "), total.keys, total.bytes)
        for kind, total in report.kinds.items()
        if total.keys
    ]
    keys, size = sum(row[1] for row in rows), sum(row[2] for row in rows)
    print_table(("in the store", "keys", "bytes"), [*rows, ("all", keys, size)], numbers=(1, 2))
    print_text()


def _print_errors(report: Report) -> None:
    """Print the stored errors by class, most frequent first."""
    if report.errors:
        rows = [
            (name, number, _describe_errors(report, name))
            for name, number in sorted(report.errors.items(), key=lambda item: -item[1])
        ]
        _print_limited(("stored errors", "number", ""), rows, numbers=(1,))


def _describe_errors(report: Report, name: str) -> str:
    """Return how many errors of a class are kept on purpose, and how many expire."""
    kept, expiring = report.kept.get(name, 0), report.expiring.get(name, 0)
    parts = [f"{kept:,} on purpose"] if kept else []
    return ", ".join([*parts, f"{expiring:,} {verb(expiring, 'expire')}"] if expiring else parts)


def _print_tokens(report: Report) -> None:
    """Print the revoke tokens by state."""
    tokens = report.tokens
    first = f", first at {format_stored_time(tokens.oldest_mark)}" if tokens.oldest_mark else ""
    rows = [
        ("live", tokens.live, "their tasks may still run"),
        ("custom", tokens.custom, "ids not made by Huey; never deleted by a sweep"),
        ("orphaned", tokens.orphaned, "no trace of their tasks"),
        ("marked", tokens.marked, f"seen orphaned by one sweep{first}"),
    ]
    if rows := [row for row in rows if row[1]]:
        print_table(("revoke tokens", "number", ""), rows, numbers=(1,))
        print_text()


def _print_pauses(report: Report) -> None:
    """Print the pause switches by name, and which tasks this process does not know."""
    pauses = report.pauses
    rows = []
    for state, names in (("active", pauses.active), ("expired", pauses.expired)):
        for name in names:
            is_ownerless = name in pauses.ownerless
            rows.append((name, f"{state}, no such task" if is_ownerless else state))
    if rows:
        _print_limited(("pause switches", "state"), rows)
        if pauses.unknown:
            print_text(
                "It is unknown whether these tasks exist, because their modules are not imported "
                f"here: {join_limited(pauses.unknown)}."
            )
            print_text()


def _print_locks(report: Report) -> None:
    """Print how many locks are held by living, dead and unknown holders."""
    locks = report.locks
    rows = [
        ("alive", locks.held - locks.stale - locks.unclaimed, ""),
        ("dead", locks.stale, "no task gets these locks until they are released"),
        ("unknown", locks.unclaimed, "no holder named, or unknown whether it is alive"),
    ]
    if rows := [row for row in rows if row[1]]:
        print_table(("locks by holder", "number", ""), rows, numbers=(1,))
        print_text()


def _print_messages(report: Report, zone: str) -> None:
    """Print how many messages wait in the queue and in the schedule."""
    schedule, times = report.schedule, ""
    if schedule.first:
        times = format_stored_time(schedule.first, zone)
        if schedule.length > 1:
            times = f"from {times} to {format_stored_time(schedule.last, zone)}"
    rows = [("queue", report.queue_length, ""), ("schedule", schedule.length, times)]
    print_table(("waiting", "messages", ""), rows, numbers=(1,))
    print_text()


def _print_processes(report: Report) -> None:
    """Print the processes with the kit, and the tasks that they are running."""
    if not report.consumers:
        print_text("No process is known; processes without the kit cannot be seen.")
        print_text()
        return
    rows = [
        (
            f"{process.host} {process.pid}",
            process.worker or "none",
            format_stored_time(process.started),
            _STATES[process.alive],
            _describe_running(process),
        )
        for process in report.consumers
    ]
    _print_limited(("process", "workers", "started", "state", "running tasks"), rows)


def _describe_running(process: Consumer) -> str:
    """Return the running tasks of a process by name, with how many runs of each."""
    if not process.running:
        return "nothing"
    names = [str(running["task"]) for running in process.running]
    tasks = join_limited(dict.fromkeys(f"{name} ({names.count(name)})" for name in names))
    return f"died while running {tasks}" if process.alive is False else tasks


def _print_counters(report: Report) -> None:
    """Print a table for each metric, highest count first."""
    by_metric: dict[str, list[tuple[str, Any]]] = {}
    for counter in report.counters:
        labels = " ".join(value for name, value in counter["labels"].items() if name != "queue")
        by_metric.setdefault(counter["metric"], []).append((labels, counter["value"]))
    for metric, values in by_metric.items():
        if all(isinstance(value, int) for _, value in values):
            rows = sorted(values, key=lambda row: -row[1])
            _print_limited((metric, "counted"), rows, numbers=(1,))
            continue
        durations = [
            (labels, value["count"], format_span(value["seconds"] / max(1, value["count"])))
            for labels, value in values
            if not isinstance(value, int)
        ]
        durations.sort(key=lambda row: -row[1])
        _print_limited((metric, "counted", "mean"), durations, numbers=(1, 2))


def _cleanup(report: Report, huey_name: str) -> list[tuple[str, list[str]]]:
    """Return what can be deleted because it is no longer needed, and the commands for that."""
    lock_errors = count_lock_errors(report)
    commands = []
    if orphaned := report.tokens.orphaned:
        reason = f"To delete {pluralize(orphaned, 'orphaned revoke token')}"
        commands.append((reason, ["sweep", huey_name]))
    if lock_errors:
        reason = f"To delete {pluralize(lock_errors, 'stored lock error')}"
        commands.append((reason, ["purge", huey_name]))
    old = report.kinds["kit"].keys
    if old and not report.storage.startswith("unknown"):
        keys = pluralize(old, "key")
        reason = f"To delete {keys} of version 0.1 of the kit, which this version does not read"
        commands.append((reason, ["forget", huey_name]))
    return commands


def _print_limited(titles: tuple[str, ...], rows: list[Any], numbers: tuple[int, ...] = ()) -> None:
    """Print the first rows of a table, and how many there are beyond."""
    print_table(titles, rows[:_MAX_ROWS], numbers=numbers)
    if len(rows) > _MAX_ROWS:
        print_text(f" and {len(rows) - _MAX_ROWS:,} more; --json has all")
    print_text()
