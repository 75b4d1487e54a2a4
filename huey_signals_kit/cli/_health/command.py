"""The options and exit codes of ``huey-signals health``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from ...ledger import open_ledger
from ...upkeep.monitor.background_read import BackgroundRead
from .._shared.command import AsJson, HueyName, print_json
from .._shared.exits import NEEDS_ATTENTION, CommandError, UsageError, exit_codes
from .._shared.find_huey import find_huey
from .._shared.interrupts import Interrupts
from .._shared.storage_errors import describe_storage, is_storage_failure, storage_failure
from .._shared.terminal import escape_unencodable_output, print_line
from .model import Health
from .queue import QueueState, judge_queue, read_state
from .this_host import judge_host

SILENT_SECONDS = 5.0
"""Seconds without an answer after which the storage counts as unusable."""
_WAIT_SECONDS = 0.5

HELP = """\b
For an alert, without --here: unhealthy when no process with workers is
alive, when messages wait and none is taken, or when the storage cannot be
used. The answer is immediate when all is well, and takes up to 12 seconds
when in doubt. It also says when two consumers enqueue the same periodic task;
this does not make the queue unhealthy, because it also happens during a
rolling restart.

\b
For a liveness probe, with --here: unhealthy when no process of this host
works on the Huey, when a process is stopped or hangs, when its workers have
ended, or when a worker process has lost its consumer. The storage is not
used, and other hosts do not count. Consumers need the kit: each writes a
small file to the folder HUEY_SIGNALS_RUN_DIR, or to huey-signals-UID in the
folder for temporary files. Let the probe fail several times in a row (in
Kubernetes, failureThreshold: 3), because Huey restarts a worker within 10
seconds.

\b
Exit codes:
  0  healthy
  1  unhealthy
  2  usage error

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
    """Report whether consumers work on the queue, for alerts and probes."""
    escape_unencodable_output()
    with exit_codes("health"), Interrupts():
        try:
            answer = (
                judge_host(huey_name, lambda: find_huey(huey_name))
                if here
                else _judge_queue(huey_name)
            )
        except UsageError:
            raise
        except CommandError as exc:
            answer = Health(False, " ".join(str(exc).split()))
        if as_json:
            print_json(asdict(answer))
        else:
            print_line(f"{'healthy' if answer.healthy else 'unhealthy'}: {answer.why}")
    if not answer.healthy:
        raise typer.Exit(NEEDS_ATTENTION)


def _judge_queue(huey_name: str) -> Health:
    huey = find_huey(huey_name)
    ledger = open_ledger(huey)
    reads: BackgroundRead[QueueState] = BackgroundRead(
        lambda: read_state(huey, ledger), "reading of the queue"
    )
    return judge_queue(str(huey.name), lambda: _read_in_time(huey, reads))


def _read_in_time(huey: Any, reads: BackgroundRead[QueueState]) -> QueueState:
    """Return the state of the queue; raise `CommandError` if the storage is silent or fails.

    Python handles a signal only between two waits, so each wait is short.
    """
    reads.request()
    while not reads.wait(_WAIT_SECONDS):
        if reads.seconds_since_start() > SILENT_SECONDS:
            raise CommandError(
                f"{describe_storage(huey.storage)} has not answered for {SILENT_SECONDS:g} s"
            )
    try:
        return reads.result()
    except Exception as exc:
        if not is_storage_failure(huey, exc):
            raise
        raise storage_failure(huey, exc) from None
