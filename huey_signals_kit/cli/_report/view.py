"""The report as text, and the problems in it that need a person."""

from __future__ import annotations

from typing import Any

from ...upkeep import LOCK_ERRORS, Consumer, Report
from .._shared.storage_errors import describe_record
from .._shared.tables import print_table
from .._shared.terminal import print_command, print_text, program
from .._shared.wording import join_limited, pluralize, verb

_MOST_ROWS = 10
"""Rows of a table that could be endless: of classes, tasks, locks."""

_ALIVE = {True: "yes", False: "no", None: "unknown"}


def find_problems(report: Report, huey: Any) -> list[str]:
    """Return a sentence for each problem in `report` that only a person can solve."""
    problems = _unreadable(report, huey)
    if report.locks.stale:
        locks = pluralize(report.locks.stale, "lock")
        problems.append(
            f"{locks} of dead processes: tasks that need them do not run. {program.name} locks "
            "shows and releases them"
        )
    if (dead := _dead_workers(report)) and report.queue_length:
        messages = pluralize(report.queue_length, "message")
        problems.append(
            f"{messages} {verb(report.queue_length, 'wait')} in the queue, and every known process "
            f"with workers is dead ({join_limited(dead)}). Start a consumer, unless a consumer "
            "without the kit is running: this command cannot see those"
        )
    lock_errors = _count_lock_errors(report)
    if lock_errors and not report.has_consumer:
        problems.append(
            f"{pluralize(lock_errors, 'lock error')} {verb(lock_errors, 'are')} stored, and no "
            "consumer with the kit is known. A kit in the application alone does not prevent them: "
            "call install_handlers in the module where the Huey is created, so that the consumer "
            "calls it, too"
        )
    if report.pauses.ownerless:
        problems.append(
            "Pause switches without effect, because this Huey does not have their tasks: "
            f"{join_limited(report.pauses.ownerless)}. If the tasks were renamed or removed, "
            f"delete the switches with {program.name} tokens delete"
        )
    return problems


def _unreadable(report: Report, huey: Any) -> list[str]:
    """Return a sentence for each kind of data that cannot be read, and what that blocks."""
    unreadable, problems = report.unreadable, []
    if unreadable.values:
        problems.append(
            f"{pluralize(unreadable.values, 'value')} in the store cannot be read: no command of "
            "the kit will delete what it cannot read"
        )
    if unreadable.messages:
        problems.append(
            f"{pluralize(unreadable.messages, 'message')} in the queue or the schedule cannot be "
            "read: as long as that is so, no sweep and no purge deletes anything"
        )
    if unreadable.records:
        places = join_limited(describe_record(huey, name) for name in unreadable.records)
        problems.append(
            f"{pluralize(len(unreadable.records), 'record')} of the ledger cannot be read "
            f"({places}): as long as that is so, no sweep and no purge deletes anything. Run the "
            "same version of huey-signals-kit in all processes of this queue, then delete a record "
            "that still cannot be read. Only its counts are lost; a living process writes its "
            "record again: "
            + program.command(
                "forget", program.huey_word, "--record", unreadable.records[0], "--apply"
            )
        )
    return problems


def _dead_workers(report: Report) -> list[str]:
    """Return all processes with workers, if every one of them is dead."""
    workers = [process for process in report.consumers if process.worker not in ("", "scheduler")]
    if any(process.alive is not False for process in workers):
        return []
    return [f"process {process.pid} on {process.host}" for process in workers]


def _count_lock_errors(report: Report) -> int:
    """Return how many lock errors are stored that are neither kept on purpose nor expire."""
    return sum(
        report.errors.get(name, 0) - report.kept.get(name, 0) - report.expiring.get(name, 0)
        for name in LOCK_ERRORS
    )


def print_report(report: Report, huey_name: str, problems: list[str]) -> None:
    """Print the report on stdout: tables first, then what to do."""
    print_text(f"Queue {report.queue}, storage {report.storage}")
    if report.trusted_serializer:
        print_text(f"Its serializer {report.serializer} is your own; the kit uses it unchecked.")
    print_text()
    _print_kinds(report)
    _print_errors(report)
    _print_tokens(report)
    _print_pauses(report)
    _print_locks(report)
    _print_messages(report)
    _print_processes(report)
    _print_counters(report)
    _print_cleanup(report, huey_name)
    if problems:
        print_text("Needs attention:")
        for problem in problems:
            print_text(problem, first="- ")


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
    if report.kinds["kit"].keys and not report.storage.startswith("unknown"):
        print_text(
            f"{pluralize(report.kinds['kit'].keys, 'key')} of version 0.1 of the kit, which this "
            f"version does not read: {program.name} forget deletes them."
        )
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
    first = f", first at {_format_iso(tokens.oldest_mark)}" if tokens.oldest_mark else ""
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


def _print_messages(report: Report) -> None:
    """Print how many messages wait in the queue and in the schedule."""
    schedule, times = report.schedule, ""
    if schedule.first:
        times = _format_iso(schedule.first)
        if schedule.length > 1:
            times = f"from {times} to {_format_iso(schedule.last)}"
    rows = [("queue", report.queue_length, ""), ("schedule", schedule.length, times)]
    print_table(("waiting", "messages", ""), rows, numbers=(1,))
    print_text()


def _print_processes(report: Report) -> None:
    """Print the processes with the kit, and the tasks that they are running."""
    if not report.consumers:
        print_text("No process is known to work on this queue; only processes with the kit are.")
        print_text()
        return
    rows = [
        (
            f"{process.host} {process.pid}",
            process.worker or "none",
            _format_iso(process.started),
            _ALIVE[process.alive],
            _describe_running(process),
        )
        for process in report.consumers
    ]
    _print_limited(("process", "workers", "started", "alive", "runs"), rows)


def _describe_running(process: Consumer) -> str:
    """Return the running tasks of a process by name, with how many runs of each."""
    if not process.running:
        return "nothing"
    names = [str(running["task"]) for running in process.running]
    tasks = join_limited(dict.fromkeys(f"{name} ({names.count(name)})" for name in names))
    return f"died with {tasks}" if process.alive is False else tasks


def _print_counters(report: Report) -> None:
    """Print a table for each metric, highest count first."""
    by_metric: dict[str, list[tuple[str, int]]] = {}
    for counter in report.counters:
        labels = " ".join(value for name, value in counter["labels"].items() if name != "queue")
        value = counter["value"]
        number = value if isinstance(value, int) else value["count"]
        by_metric.setdefault(counter["metric"], []).append((labels, number))
    for metric, rows in by_metric.items():
        _print_limited((metric, "counted"), sorted(rows, key=lambda row: -row[1]), numbers=(1,))


def _print_cleanup(report: Report, huey_name: str) -> None:
    """Print the commands that delete what is no longer needed."""
    lock_errors = _count_lock_errors(report)
    if report.tokens.orphaned:
        print_text(f"To delete {pluralize(report.tokens.orphaned, 'orphaned revoke token')}:")
        print_command("sweep", huey_name)
    if lock_errors:
        print_text(f"To delete {pluralize(lock_errors, 'stored lock error')}:")
        print_command("purge", huey_name)
    if report.tokens.orphaned or lock_errors:
        print_text()


def _print_limited(titles: tuple[str, ...], rows: list[Any], numbers: tuple[int, ...] = ()) -> None:
    """Print the first rows of a table, and how many there are beyond."""
    print_table(titles, rows[:_MOST_ROWS], numbers=numbers)
    if len(rows) > _MOST_ROWS:
        print_text(f" and {len(rows) - _MOST_ROWS:,} more; --json has all")
    print_text()


def _format_iso(iso: str | None) -> str:
    """Return a time in ISO format as text, to the second; ``?`` for None."""
    return (iso or "?").replace("T", " ").partition(".")[0].replace("+00:00", " UTC")
