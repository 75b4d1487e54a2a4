"""A report as a person sees it."""

from __future__ import annotations

from typing import Any

from ...upkeep import LOCK_ERRORS, Consumer, Report
from .._shared.storage_errors import record_place
from .._shared.tables import counted, print_table
from .._shared.terminal import say, say_command

_MOST = 10
"""Rows of what can be endless: classes, tasks, names."""

_ALIVE = {True: "yes", False: "no", None: "unknown"}


def problems(found: Report, huey: Any) -> list[str]:
    """What only a person can settle."""
    records = [record_place(huey, name) for name in found.unreadable.records]
    unreadable, said = found.unreadable, []
    if unreadable.values:
        said.append(
            f"{counted(unreadable.values, 'value')} of the store cannot be read, and nothing "
            "will ever clean what nobody can read"
        )
    if unreadable.messages:
        said.append(
            f"{counted(unreadable.messages, 'message')} of the queue or the schedule cannot be "
            "read; while that is so, no sweep and no purge deletes anything"
        )
    if unreadable.records:
        said.append(
            f"{counted(len(unreadable.records), 'record')} of the ledger cannot be read "
            f"({_some(records)}); until they can be read or are gone, no sweep and no purge "
            "deletes anything. Run one version of huey-signals-kit in all processes of this queue, "
            "then delete a record that still cannot be read. Only its counts are lost; a living "
            "process writes its record again: "
            f"huey-signals forget HUEY --record {found.unreadable.records[0]} --apply"
        )
    if found.locks.stale:
        said.append(
            f"{counted(found.locks.stale, 'lock')} of dead processes: the tasks that need them do "
            "not run (locks shows and frees them)"
        )
    if (dead := _dead_workers(found)) and found.queue_length:
        wait = "waits" if found.queue_length == 1 else "wait"
        said.append(
            f"{counted(found.queue_length, 'message')} {wait} in the queue, and every process "
            f"with workers that is known here is dead ({_some(dead)}). Start a consumer, unless a "
            "consumer without the kit is running: this command cannot see those"
        )
    garbage = _lock_errors(found)
    if garbage and not found.has_consumer:
        are = "is" if garbage == 1 else "are"
        said.append(
            f"{counted(garbage, 'lock error')} {are} stored, and no consumer with the kit is "
            "known. A kit in the application alone does not keep them out: call install_handlers "
            "in the module where the Huey is made, so that the consumer calls it too"
        )
    if found.pauses.ownerless:
        said.append(
            "Pause switches of tasks that this Huey does not have, so that they stop nothing: "
            f"{_some(found.pauses.ownerless)}. Were the tasks renamed or removed? (tokens shows "
            "and deletes the switches)"
        )
    return said


def _dead_workers(found: Report) -> list[str]:
    """Return all processes with workers, if every one of them is dead."""
    workers = [each for each in found.consumers if each.worker not in ("", "scheduler")]
    if any(each.alive is not False for each in workers):
        return []
    return [f"process {each.pid} on {each.host}" for each in workers]


def _lock_errors(found: Report) -> int:
    """Return how many lock errors are stored, not counting those kept on purpose."""
    return sum(found.errors.get(name, 0) - found.kept.get(name, 0) for name in LOCK_ERRORS)


def show(found: Report, huey_name: str, problems: list[str]) -> None:
    """All of it on stdout."""
    say(f"Queue {found.queue}, storage {found.storage}")
    if found.trusted_serializer:
        say(f"Its serializer {found.serializer} is your own, and is used as it is.")
    say()
    _kinds(found)
    _errors(found)
    _tokens(found)
    _pauses(found)
    _locks(found)
    _messages(found)
    _consumers(found)
    _counters(found)
    _next(found, huey_name)
    if problems:
        say("This needs a person:")
        for each in problems:
            say(each, first="- ")


def _kinds(found: Report) -> None:
    kinds = ((kind.replace("_", " "), each) for kind, each in found.kinds.items())
    rows = [(kind, each.keys, each.bytes) for kind, each in kinds if each.keys]
    keys, size = sum(row[1] for row in rows), sum(row[2] for row in rows)
    print_table(("in the store", "keys", "bytes"), [*rows, ("all", keys, size)], numbers=(1, 2))
    say()
    if found.kinds["kit"].keys and not found.storage.startswith("unknown"):
        say(
            f"{counted(found.kinds['kit'].keys, 'key')} of version 0.1 of the kit, which are no "
            "longer read: huey-signals forget deletes them."
        )
        say()


def _errors(found: Report) -> None:
    if found.errors:
        rows = [
            (name, number, f"{found.kept[name]:,} on purpose" if name in found.kept else "")
            for name, number in sorted(found.errors.items(), key=lambda item: -item[1])
        ]
        _first_of(("stored errors", "number", ""), rows, numbers=(1,))


def _tokens(found: Report) -> None:
    tokens = found.tokens
    oldest = f", the first of them {_moment(tokens.oldest_mark)}" if tokens.oldest_mark else ""
    rows = [
        ("live", tokens.live, "their tasks may still come to run"),
        ("custom", tokens.custom, "for ids that Huey has not made; no sweep deletes them"),
        ("orphaned", tokens.orphaned, "their tasks stand nowhere"),
        ("marked", tokens.marked, f"seen orphaned by a sweep{oldest}"),
    ]
    if rows := [row for row in rows if row[1]]:
        print_table(("revoke tokens", "number", ""), rows, numbers=(1,))
        say()


def _pauses(found: Report) -> None:
    pauses = found.pauses
    rows = []
    for state, names in (("active", pauses.active), ("expired", pauses.expired)):
        for name in names:
            lost = name in pauses.ownerless
            rows.append((name, f"{state}, of no task here" if lost else state))
    if rows:
        _first_of(("pause switches", "state"), rows)
        if pauses.unknown:
            say(
                "It is unknown whether these tasks exist, because their modules are not imported "
                f"here: {_some(pauses.unknown)}."
            )
            say()


def _locks(found: Report) -> None:
    locks = found.locks
    rows = [
        ("living", locks.held - locks.stale - locks.unclaimed, ""),
        ("dead", locks.stale, "until they are freed, no task gets these"),
        ("unclaimed", locks.unclaimed, "no known holder, or unknown whether it is alive"),
    ]
    if rows := [row for row in rows if row[1]]:
        print_table(("locks of", "number", ""), rows, numbers=(1,))
        say()


def _messages(found: Report) -> None:
    schedule = found.schedule
    rows = [("queue", found.queue_length, ""), ("schedule", schedule.length, "")]
    if schedule.first:
        first, last = _moment(schedule.first), _moment(schedule.last)
        times = f"the first {first}, the last {last}" if schedule.length > 1 else first
        rows[1] = ("schedule", schedule.length, times)
    print_table(("waiting", "messages", ""), rows, numbers=(1,))
    say()


def _consumers(found: Report) -> None:
    if not found.consumers:
        say("No process has said that it works on this queue; only those with the kit do.")
        say()
        return
    rows = [
        (
            f"{each.host} {each.pid}",
            each.worker or "none",
            _moment(each.started),
            _ALIVE[each.alive],
            _running(each),
        )
        for each in found.consumers
    ]
    _first_of(("process", "workers", "started", "alive", "runs"), rows)


def _running(process: Consumer) -> str:
    if not process.running:
        return "nothing"
    names = [str(each["task"]) for each in process.running]
    said = _some(dict.fromkeys(f"{name} ({names.count(name)})" for name in names))
    return f"died with {said}" if process.alive is False else said


def _counters(found: Report) -> None:
    by_metric: dict[str, list[tuple[str, int]]] = {}
    for each in found.counters:
        labels = " ".join(value for name, value in each["labels"].items() if name != "queue")
        value = each["value"]
        number = value if isinstance(value, int) else value["count"]
        by_metric.setdefault(each["metric"], []).append((labels, number))
    for metric, rows in by_metric.items():
        _first_of((metric, "counted"), sorted(rows, key=lambda row: -row[1]), numbers=(1,))


def _next(found: Report, huey_name: str) -> None:
    garbage = _lock_errors(found)
    if found.tokens.orphaned:
        say(f"{counted(found.tokens.orphaned, 'token')} of tasks that stand nowhere:")
        say_command("sweep", huey_name)
    if garbage:
        say(f"{counted(garbage, 'stored lock error')}:")
        say_command("purge", huey_name)
    if found.tokens.orphaned or garbage:
        say()


def _first_of(titles: tuple[str, ...], rows: list[Any], numbers: tuple[int, ...] = ()) -> None:
    print_table(titles, rows[:_MOST], numbers=numbers)
    if len(rows) > _MOST:
        say(f" and {len(rows) - _MOST:,} more; --json has all")
    say()


def _some(names: Any) -> str:
    names = list(names)
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _moment(iso: str | None) -> str:
    return (iso or "?").replace("T", " ").partition(".")[0].replace("+00:00", " UTC")
