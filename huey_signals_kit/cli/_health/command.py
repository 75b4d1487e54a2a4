"""``huey-signals health``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from ...ledger import open_ledger
from .._shared.background_read import BackgroundRead
from .._shared.command import AsJson, HueyName, print_json
from .._shared.exits import NEEDS_PERSON, CommandError, WrongUse, exit_codes
from .._shared.find_huey import find_huey
from .._shared.interrupts import Interrupts
from .._shared.storage_errors import describe_storage, failure, is_failure
from .._shared.terminal import print_whatever_stands_in_a_store
from .model import Health
from .queue import Reading, judge_queue, read
from .this_host import judge_host

SILENT_SECONDS = 5.0
_WAKES_SECONDS = 0.5

HELP = """\b
For an alert, without --here: unhealthy when no process with workers is alive,
when messages wait and none is taken, or when the storage cannot be used. The
answer is immediate when all is well, and takes up to 12 seconds when in doubt.

\b
For a liveness probe, with --here: unhealthy when no process of this host works
on the Huey, when a process is stopped or hangs, when its workers have ended, or
when a worker process has lost its consumer. The storage is not used, and other
hosts do not count. Consumers need the kit: each writes a small file to the
folder HUEY_SIGNALS_RUN_DIR, or to huey-signals-UID in the folder for temporary
files. Let the probe fail several times in a row (Kubernetes: failureThreshold:
3): Huey restarts a worker within 10 seconds.

\b
Exit codes: 0 healthy, 1 unhealthy, 2 wrong use

\b
Examples:
  huey-signals health tasks.huey
  huey-signals health tasks.huey --here
  huey-signals health tasks.huey --json
"""


def health(
    huey_name: HueyName,
    here: Annotated[
        bool, typer.Option("--here", help="Judge only the processes of this host.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Report whether the queue is worked on, for alerts and probes."""
    print_whatever_stands_in_a_store()
    with exit_codes("health"), Interrupts():
        try:
            found = judge_host(huey_name, lambda: _queue_of(huey_name)) if here else _ask(huey_name)
        except WrongUse:
            raise
        except CommandError as exc:
            found = Health(False, " ".join(str(exc).split()))
        if as_json:
            print_json(asdict(found))
        else:
            typer.echo(f"{'healthy' if found.healthy else 'unhealthy'}: {found.why}")
    if not found.healthy:
        raise typer.Exit(NEEDS_PERSON)


def _queue_of(huey_name: str) -> str:
    return str(find_huey(huey_name).name)


def _ask(huey_name: str) -> Health:
    huey = find_huey(huey_name)
    ledger = open_ledger(huey)
    readings: BackgroundRead[Reading] = BackgroundRead(
        lambda: read(huey, ledger), "reading of the queue"
    )
    return judge_queue(str(huey.name), lambda: _look(huey, readings))


def _look(huey: Any, readings: BackgroundRead[Reading]) -> Reading:
    readings.ask()
    # In short waits: a signal that arrives just before a wait is handled only after it.
    while not readings.wait(_WAKES_SECONDS):
        if readings.age() > SILENT_SECONDS:
            raise CommandError(
                f"{describe_storage(huey.storage)} has not answered for {SILENT_SECONDS:g} s"
            )
    try:
        return readings.last()
    except Exception as exc:
        if not is_failure(huey, exc):
            raise
        raise failure(huey, exc) from None
