"""``huey-signals locks``: who holds what, and how to free it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ...upkeep import LockHeld, LockInspector, release_stale, release_unchanged, validate_not_held
from .._shared.command import Apply, AsJson, HueyName, command_context, print_json
from .._shared.durations import parse_age
from .._shared.exits import NEEDS_PERSON, CommandError, WrongUse
from .._shared.progress import progress
from .._shared.terminal import shown
from . import view

DEFAULT_AGE = "15m"
_WAITING = "watching the heartbeats of other hosts"

HELP = """\b
ALIVE says whether the process that holds the lock is alive: yes, no, or ? if the
lock names no holder or the answer is in doubt. A process on another host counts
as dead after its stale_after seconds (120) without a heartbeat, counted by
processes that could read and write the storage all that time. SKIPS/H: how many
tasks could not get it in about the last hour. "~" before a time: by the clock
of another host.

\b
Exit codes: 0 done, 1 a lock is held by a dead process or could not be freed,
2 wrong use

\b
Examples:
  huey-signals locks tasks.huey
  huey-signals locks release tasks.huey import-users --apply
  huey-signals locks release tasks.huey --stale --apply
"""


class _ListByDefault(TyperGroup):
    """``locks HUEY`` is ``locks list HUEY``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Any first word that is no command is a Huey."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["list", *args]
        return super().resolve_command(ctx, args)


locks = typer.Typer(cls=_ListByDefault, no_args_is_help=True, rich_markup_mode=None)


@locks.callback(epilog=HELP)
def about() -> None:
    """Show who holds which lock, and free those of dead processes."""


@locks.command("list", epilog=HELP)
def list_locks(huey_name: HueyName, as_json: AsJson = False) -> None:
    """List every lock and semaphore of the queue."""
    with command_context("locks", huey_name) as huey:
        found = LockInspector(huey).all()
        if as_json:
            print_json({"locks": [each.as_dict() for each in found]})
        else:
            view.table(found, huey_name)
    if any(each.alive is False for each in found):
        raise typer.Exit(NEEDS_PERSON)


@locks.command(epilog=HELP)
def release(
    huey_name: HueyName,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", show_default=False, help="Locks, by name."),
    ] = None,
    stale: Annotated[bool, typer.Option("--stale", help="All that are stale.")] = False,
    min_age: Annotated[
        str,
        typer.Option(
            metavar="AGE",
            help="The time between the two looks that free a lock which no process claims.",
        ),
    ] = DEFAULT_AGE,
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Free locks by name, or all whose holder is dead.

    A lock is never freed while its holder is alive or in doubt. With --apply, and if no consumer
    watches other hosts, the command itself watches silent holders there, which takes their
    stale_after seconds (120) and 15 more. A lock that no process claims, as Huey without
    the kit leaves it, is freed by name, or by --stale when two of these commands, at least AGE
    apart, have found it unchanged. Without --apply it says what it would do.
    """
    with command_context("locks release", huey_name) as huey:
        if bool(names) == stale:
            raise WrongUse(
                "give the names of locks to free, or --stale for all whose holder is dead"
            )
        age = parse_age(min_age, "--min-age")
        failed = (
            _release_stale(huey, huey_name, age, apply, as_json)
            if stale
            else _release_named(huey, huey_name, names or [], apply, as_json)
        )
    if failed:
        raise typer.Exit(NEEDS_PERSON)


def _release_stale(huey: Any, huey_name: str, age: float, apply: bool, as_json: bool) -> bool:
    with progress("looking at locks") as tell:
        found = release_stale(huey, age, not apply, on_wait=lambda: tell(_WAITING))
    if as_json:
        print_json(
            {
                "released": [each.as_dict() for each in found.released],
                "waiting": [each.as_dict() for each in found.waiting],
                "kept": [view.kept(each) for each in found.kept],
                "dry_run": not apply,
            }
        )
    else:
        view.released(found, huey_name, age, apply)
    for each in found.kept:
        typer.echo(f"huey-signals locks release: {shown(view.kept(each))}", err=True)
    return apply and bool(found.kept)


def _release_named(huey: Any, huey_name: str, names: list[str], apply: bool, as_json: bool) -> bool:
    names = list(dict.fromkeys(names))
    with progress("looking at locks") as tell:
        settled = LockInspector(huey).wait_until_known(
            names, lambda: tell(_WAITING), should_observe=apply
        )
    found = {lock.name: lock for lock in settled}
    missing = [name for name in names if name not in found]
    if missing:
        listed = ", ".join(repr(shown(each)) for each in missing)
        raise CommandError(
            f"no lock and no semaphore named {listed} is held; huey-signals locks lists all that "
            "are held"
        )
    freed, kept = [], []
    for lock in map(found.__getitem__, names):
        try:
            validate_not_held(huey, lock)
        except LockHeld as exc:
            kept.append(str(exc))
            continue
        if not apply or release_unchanged(huey, lock):
            freed.append(lock)
        else:
            kept.append(
                f"the lock {lock.name!r} was freed, or acquired by another task: left alone"
            )
    if as_json:
        released = [each.as_dict() for each in freed]
        print_json({"released": released, "kept": kept, "dry_run": not apply})
    else:
        view.named(freed, huey_name, apply)
    for each in kept:
        typer.echo(f"huey-signals locks release: {shown(each)}", err=True)
    return bool(kept)
