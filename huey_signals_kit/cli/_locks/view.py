"""Locks and their holders as text."""

from __future__ import annotations

from collections.abc import Sequence

from ...upkeep import UNCLAIMED_SECONDS, LockInfo, Release
from .._shared.dry_run import print_apply_command, print_dry_run_notice
from .._shared.durations import format_seconds
from .._shared.lock_cells import format_held_for, state_of, words_to_release
from .._shared.tables import choose_columns, column_widths, format_cell, print_table
from .._shared.terminal import print_command, print_text, printable, program
from .._shared.wording import join_limited, pluralize, verb

_TITLES = ("lock", "state", "held for", "skips/h", "holder", "task", "task id")
_LOCK, _STATE, _HELD_FOR, _SKIPS, _HOLDER, _TASK, _TASK_ID = range(len(_TITLES))
_IMPORTANCE = (_HELD_FOR, _TASK_ID, _HOLDER, _SKIPS, _TASK)
"""The columns beside lock and state, in the order in which a narrow terminal keeps them."""
_ORDER = {"dead": 0, "unclaimed": 1, "unknown": 2, "alive": 3}
_MAX_NAMES = 3


def print_locks(locks: Sequence[LockInfo], huey_name: str) -> None:
    """Print every lock, those of dead processes first, and how to release dead and unclaimed ones.

    Args:
        locks: The locks.
        huey_name: The Huey as named by the user, for commands to copy.
    """
    if not locks:
        print_text("No locks.")
        return
    locks = sorted(locks, key=lambda lock: (_ORDER[state_of(lock)], lock.name))
    _print_rows(locks)
    if any(lock.alive is False for lock in locks):
        print_text()
        print_text("To release the locks of dead processes:")
        print_command("locks release", huey_name, "--stale", "--apply")
    if unclaimed := [lock for lock in locks if state_of(lock) == "unclaimed"]:
        _print_unclaimed(unclaimed, huey_name)
    _print_doubts([lock for lock in locks if state_of(lock) == "unknown" and lock.doubt])


def _print_unclaimed(locks: list[LockInfo], huey_name: str) -> None:
    """Print what it means that no process claims a lock, and how to release such locks."""
    print_text()
    print_text(
        "Unclaimed: no known process says that it holds the lock. A process that the kit cannot "
        "see, such as a consumer with bare Huey, acquired it and may still use it, or was killed. "
        "If no task can be running under it, release it:"
    )
    print_command("locks release", *words_to_release([locks[0].name], huey_name))
    print_text(
        "Or let --stale in place of the name release every unclaimed lock that two commands, at "
        f"least {format_seconds(UNCLAIMED_SECONDS)} apart, find unchanged."
    )


def _print_doubts(locks: list[LockInfo]) -> None:
    """Print why it is unknown whether holders are alive, and what would settle that."""
    by_reason: dict[str, list[str]] = {}
    for lock in locks:
        by_reason.setdefault(lock.doubt, []).append(lock.name)
    for reason, names in by_reason.items():
        print_text()
        listed = join_limited(names, _MAX_NAMES)
        if len(names) == 1:
            print_text(f"Unknown whether the holder of {listed} is alive: {reason}.")
        else:
            print_text(
                f"Unknown whether the holders of {len(names):,} locks are alive ({listed}): "
                f"{reason}."
            )


def _print_rows(locks: Sequence[LockInfo], first_title: str = _TITLES[0]) -> None:
    """Print one line per lock, with the columns that fit, and below it what did not fit."""
    titles = (first_title, *_TITLES[1:])
    cells = [[format_cell(value) for value in _row(lock)] for lock in locks]
    widths = column_widths(titles, cells)
    used = [index for index in _IMPORTANCE if any(row[index] for row in cells)]
    shown = choose_columns(widths, (_LOCK, _STATE), used)
    _print_columns(titles, cells, shown)
    moved = [index for index in used if index not in shown]
    if _TASK_ID in moved:
        rest = [index for index in moved if index != _TASK_ID]
        below = choose_columns(widths, (_LOCK, _TASK_ID), rest)
        print_text()
        with_task = [row for row in cells if row[_TASK_ID]]
        _print_columns(titles, with_task, sorted(below, key=lambda index: -index))
        moved = [index for index in moved if index not in below]
    if moved:
        print_text()
        names = " and ".join(f'"{_TITLES[index]}"' for index in sorted(moved))
        print_text(f"No room for {names}; --json has all.")


def _print_columns(titles: Sequence[str], cells: list[list[str]], shown: list[int]) -> None:
    rows = [[row[index] for index in shown] for row in cells]
    numbers = [shown.index(_SKIPS)] if _SKIPS in shown else []
    print_table([titles[index] for index in shown], rows, numbers=numbers)


def _row(lock: LockInfo) -> tuple[object, ...]:
    return (
        lock.name,
        state_of(lock),
        format_held_for(lock),
        lock.skips,
        _describe_holder(lock),
        lock.task_name or "",
        lock.task_id or "",
    )


def _describe_holder(lock: LockInfo) -> str:
    if lock.kind == "semaphore":
        return pluralize(len(lock.slots), "slot")
    return "?" if lock.pid is None else f"{lock.pid} on {lock.host}"


def print_stale(outcome: Release, huey_name: str, age: float, apply: bool) -> None:
    """Print what ``--stale`` has released or would release, and which locks need a second command.

    Args:
        outcome: What was released.
        huey_name: The Huey as named by the user, for the command to copy.
        age: Shortest time between two commands that release an unclaimed lock, in seconds.
        apply: Whether the locks were released.
    """
    print_released(outcome.released, huey_name, apply, ["--stale"])
    if outcome.waiting:
        count = len(outcome.waiting)
        print_text()
        print_text(
            f"No process claims {pluralize(count, 'lock')}. A second command like this one, at "
            f"least {format_seconds(age)} later, releases what it finds unchanged."
        )


def describe_work(released: Sequence[str], apply: bool) -> str:
    """Return which locks were released before an interrupt, as the end of a sentence."""
    if not apply:
        return "nothing was changed"
    if not released:
        return f"it is unknown whether a lock was released; {program.name} locks shows what is held"
    locks = f"{pluralize(len(released), 'lock')} {verb(len(released), 'were')} released"
    return f"{locks}: {', '.join(map(printable, released))}"


def describe_kept(lock: LockInfo) -> str:
    """Return why `lock` was not released, and what would resolve the doubt."""
    holder = "a process" if lock.pid is None else f"process {lock.pid} on {lock.host}"
    return f"the lock {lock.name!r} was not released; it is held by {holder}: {lock.doubt}"


def print_released(
    locks: Sequence[LockInfo], huey_name: str, apply: bool, options: Sequence[str] | None = None
) -> None:
    """Print the locks that were or would be released.

    Args:
        locks: The locks.
        huey_name: The Huey as named by the user, for the command to copy.
        apply: Whether the locks were released.
        options: Options for that command in place of the names of the locks.
    """
    if not apply:
        print_dry_run_notice()
    if not locks:
        print_text("Nothing was released." if apply else "Nothing to release.")
        return
    _print_rows(locks, "released" if apply else "would be released")
    if not apply:
        names = [lock.name for lock in locks]
        words = [huey_name, *options, "--apply"] if options else words_to_release(names, huey_name)
        print_apply_command("locks release", *words)
