"""Locks as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from shlex import quote
from socket import gethostname

from ...upkeep import LockInfo, Release
from .._shared.durations import format_seconds
from .._shared.tables import counted, print_table
from .._shared.terminal import say, say_command

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
_ALIVE = {True: "yes", False: "no", None: "?"}


def table(locks: Sequence[LockInfo], huey_name: str) -> None:
    """Every lock, its holder, and what to do about dead ones."""
    if not locks:
        say("No locks.")
        return
    print_table(("lock", "held for", "holder", "alive", "skips/h"), map(_row, locks), numbers=(4,))
    if any(each.alive is False for each in locks):
        say()
        say("To free those of dead processes:")
        say_command("locks release", huey_name, "--stale", "--apply")


def _row(lock: LockInfo) -> tuple[object, ...]:
    return lock.name, held_for(lock), _holder(lock), _ALIVE[lock.alive], lock.skips


def _holder(lock: LockInfo) -> str:
    if lock.kind == "semaphore":
        return counted(len(lock.slots), "slot")
    if lock.pid is None:
        return "?"
    process = f"{lock.pid} on {lock.host}"
    return f"{lock.task_name} {lock.task_id}, {process}" if lock.task_id else process


def held_for(lock: LockInfo) -> str:
    """How long; about so long where it is another host's clock that says since when."""
    if lock.slots:
        return short_span(max(lock.slots))
    if lock.since is None:
        return "?"
    seconds = (datetime.now(timezone.utc) - lock.since).total_seconds()
    return f"{'' if lock.host == gethostname() else '~'}{short_span(seconds)}"


def short_span(seconds: float) -> str:
    """``3h 5m``: the two largest units."""
    rest, parts = max(0, int(seconds)), list[str]()
    for name, size in _UNITS:
        number, rest = divmod(rest, size)
        if number or (parts and len(parts) < 2) or name == "s":
            parts.append(f"{number}{name}")
    return " ".join(parts[:2])


def released(found: Release, huey_name: str, age: float, apply: bool) -> None:
    """What ``--stale`` has done, or would do."""
    named(found.released, huey_name, apply, ["--stale"])
    if found.waiting:
        names = counted(len(found.waiting), "lock")
        it = "it" if len(found.waiting) == 1 else "they"
        say(
            f"Nobody claims {names}: {it} will be freed when two of these commands, at least "
            f"{format_seconds(age)} apart, have found the same."
        )


def kept(lock: LockInfo) -> str:
    """Return why *lock* was not freed, and what would resolve the doubt."""
    who = "a process" if lock.pid is None else f"process {lock.pid} on {lock.host}"
    return f"the lock {lock.name!r} stays, held by {who}: {lock.doubt}"


def _names(locks: Sequence[LockInfo]) -> list[str]:
    names = [quote(each.name) for each in locks]
    return ["--", *names] if any(name.startswith("-") for name in names) else names


def named(
    locks: Sequence[LockInfo], huey_name: str, apply: bool, options: Sequence[str] | None = None
) -> None:
    """What was freed, or would be."""
    if not apply:
        say("A dry run: nothing is changed.")
        say()
    if not locks:
        say("Nothing to free." if not apply else "Nothing was freed.")
        return
    title = "freed" if apply else "would be freed"
    print_table((title, "held for", "holder", "alive"), [_row(each)[:4] for each in locks])
    if not apply:
        say()
        say("To do it:")
        words = options or _names(locks)
        say_command("locks release", "--apply", huey_name, *words)
