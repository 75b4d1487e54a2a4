"""The options and exit codes of ``huey-signals locks``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ...upkeep import (
    LockHeld,
    LockInfo,
    LockInspector,
    release_stale,
    release_unchanged,
    validate_not_held,
)
from .._shared.command import Apply, AsJson, HueyName, command_context, print_json
from .._shared.durations import parse_age
from .._shared.exits import NEEDS_ATTENTION, CommandError, UsageError
from .._shared.list_by_default import ListByDefault
from .._shared.progress import progress
from .._shared.terminal import print_error, printable, program
from .._shared.work_so_far import work_so_far
from . import view

DEFAULT_AGE = "15m"
_WATCHING = "watching the heartbeats of other hosts"

HELP = """\b
Columns (on a narrow terminal some are printed below, or left out):
  state     of the holder: alive, dead, unclaimed if no known process says
            that it holds the lock, or unknown
  held for  "~" means: by the clock of another host
  skips/h   how many tasks could not get the lock in about the last hour

\b
A process on another host counts as dead after its stale_after seconds (120)
without a heartbeat, as seen by a process that could use the storage all that
time.

\b
Exit codes:
  0  done
  1  a lock is held by a dead process or was not released, or the storage
     failed
  2  usage error

\b
Examples:
  huey-signals locks tasks.huey
  huey-signals locks release tasks.huey import-users --apply
  huey-signals locks release tasks.huey --stale --apply
"""


locks = typer.Typer(cls=ListByDefault, no_args_is_help=True, rich_markup_mode=None)


@locks.callback(epilog=HELP)
def describe_group() -> None:
    """Show who holds which lock, and release locks of dead processes."""


@locks.command("list", epilog=HELP)
def list_locks(huey_name: HueyName, as_json: AsJson = False) -> None:
    """List every lock and semaphore of the queue."""
    with command_context("locks", huey_name) as huey:
        infos = LockInspector(huey).all()
        if as_json:
            print_json({"locks": [lock.as_dict() for lock in infos]})
        else:
            view.print_locks(infos, huey_name)
    if any(lock.alive is False for lock in infos):
        raise typer.Exit(NEEDS_ATTENTION)


@locks.command(epilog=HELP)
def release(
    huey_name: HueyName,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", show_default=False, help="Names of locks."),
    ] = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="Release all locks whose holder is dead.")
    ] = False,
    min_age: Annotated[
        str,
        typer.Option(
            metavar="AGE",
            help="With --stale: a lock that no process claims is released when two commands, at "
            "least this long apart, found it unchanged.",
        ),
    ] = DEFAULT_AGE,
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Release locks by name, or all locks whose holder is dead.

    A lock is not released while its holder is alive or in doubt. If the holder is on another host
    and no consumer watches it, the command watches it itself with --apply. This takes the
    stale_after of the holder plus up to 15 seconds (135 by default).

    A lock that no process claims, such as one of Huey without the kit, is released by name, or with
    --stale by a second command after AGE.
    """
    with command_context("locks release", huey_name) as huey:
        if bool(names) == stale:
            raise UsageError(
                "give either the names of locks to release, or --stale for all whose holder is dead"
            )
        age = parse_age(min_age, "--min-age")
        has_failed = (
            _release_stale(huey, huey_name, age, apply, as_json)
            if stale
            else _release_named(huey, huey_name, names or [], apply, as_json)
        )
    if has_failed:
        raise typer.Exit(NEEDS_ATTENTION)


def _release_stale(huey: Any, huey_name: str, age: float, apply: bool, as_json: bool) -> bool:
    """Release all stale locks; return whether a lock in doubt was left that should have gone."""
    names: list[str] = []
    with (
        progress("looking at locks") as show_status,
        work_so_far(lambda: view.describe_work(names, apply)),
    ):
        outcome = release_stale(
            huey,
            age,
            not apply,
            on_wait=lambda: show_status(_WATCHING),
            on_release=lambda lock: names.append(lock.name),
        )
    kept = [view.describe_kept(lock) for lock in outcome.kept]
    if as_json:
        print_json(
            {
                "released": [lock.as_dict() for lock in outcome.released],
                "waiting": [lock.as_dict() for lock in outcome.waiting],
                "kept": kept,
                "dry_run": not apply,
            }
        )
    else:
        view.print_stale(outcome, huey_name, age, apply)
    for problem in kept:
        print_error("locks release", printable(problem))
    return apply and bool(kept)


def _release_named(huey: Any, huey_name: str, names: list[str], apply: bool, as_json: bool) -> bool:
    """Release the locks `names`; return whether one of them was not released."""
    names = list(dict.fromkeys(names))
    released: list[LockInfo] = []
    with work_so_far(lambda: view.describe_work([lock.name for lock in released], apply)):
        kept = _release_each(huey, names, apply, released)
    if as_json:
        infos_released = [lock.as_dict() for lock in released]
        print_json({"released": infos_released, "kept": kept, "dry_run": not apply})
    else:
        view.print_released(released, huey_name, apply)
    for problem in kept:
        print_error("locks release", printable(problem))
    return bool(kept)


def _release_each(huey: Any, names: list[str], apply: bool, released: list[LockInfo]) -> list[str]:
    """Add the locks that were or would be released to `released`; return why others were not."""
    with progress("looking at locks") as show_status:
        inspector = LockInspector(huey)
        infos = inspector.wait_until_known(
            names, lambda: show_status(_WATCHING), should_observe=apply
        )
    by_name = {lock.name: lock for lock in infos}
    missing = [name for name in names if name not in by_name]
    if missing:
        listed = ", ".join(repr(printable(name)) for name in missing)
        raise CommandError(
            f"no lock and no semaphore named {listed} is held; {program.name} locks lists "
            "all that are held"
        )
    kept = []
    for lock in (by_name[name] for name in names):
        try:
            validate_not_held(huey, lock)
        except LockHeld as exc:
            kept.append(str(exc))
            continue
        if not apply or release_unchanged(huey, lock):
            released.append(lock)
        else:
            kept.append(
                f"the lock {lock.name!r} was released, or acquired by another task: left alone"
            )
    return kept
