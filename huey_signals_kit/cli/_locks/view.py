"""Locks and their holders as text."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

from ...upkeep import LockInfo, Release
from .._shared.dry_run import print_apply_command, print_dry_run_notice
from .._shared.durations import format_seconds
from .._shared.lock_cells import format_held_for
from .._shared.tables import print_table
from .._shared.terminal import print_command, print_text
from .._shared.wording import pluralize

_ALIVE = {True: "yes", False: "no", None: "?"}


def print_locks(locks: Sequence[LockInfo], huey_name: str) -> None:
    """Print every lock with its holder, and the command that releases those of dead processes."""
    if not locks:
        print_text("No locks.")
        return
    rows = [(*_row(lock), lock.skips) for lock in locks]
    print_table(("lock", "held for", "holder", "alive", "skips/h"), rows, numbers=(4,))
    _print_tasks(locks)
    if any(lock.alive is False for lock in locks):
        print_text()
        print_text("To release the locks of dead processes:")
        print_command("locks release", huey_name, "--stale", "--apply")


def _print_tasks(locks: Sequence[LockInfo]) -> None:
    # In a table of their own: in the first one, ids would be folded and could not be copied.
    if tasks := [(lock.task_id, lock.name) for lock in locks if lock.task_id]:
        print_text()
        print_table(("task id", "lock"), tasks)


def _row(lock: LockInfo) -> tuple[str, str, str, str]:
    return lock.name, format_held_for(lock), _describe_holder(lock), _ALIVE[lock.alive]


def _describe_holder(lock: LockInfo) -> str:
    if lock.kind == "semaphore":
        return pluralize(len(lock.slots), "slot")
    if lock.pid is None:
        return "?"
    process = f"{lock.pid} on {lock.host}"
    return f"{lock.task_name}, {process}" if lock.task_id else process


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


def describe_kept(lock: LockInfo) -> str:
    """Return why `lock` was not released, and what would resolve the doubt."""
    holder = "a process" if lock.pid is None else f"process {lock.pid} on {lock.host}"
    return f"the lock {lock.name!r} stays, held by {holder}: {lock.doubt}"


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
    title = "released" if apply else "would be released"
    print_table((title, "held for", "holder", "alive"), map(_row, locks))
    _print_tasks(locks)
    if not apply:
        names = [quote(lock.name) for lock in locks]
        if options:
            words = [huey_name, *options, "--apply"]
        elif any(name.startswith("-") for name in names):
            words = ["--apply", huey_name, "--", *names]
        else:
            words = [huey_name, *names, "--apply"]
        print_apply_command("locks release", *words)
