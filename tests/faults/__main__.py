"""Runs consumers on two hosts through faults of the storage, the network and the processes.

``python -m tests.faults --minutes 10`` needs root, for the namespaces. First each fault comes
once, then they come at random, by the seed. The run prints a table, and ends with exit code 1 if
an invariant was violated, and with 2 if the run itself failed. ``--bare`` runs the same on bare
Huey; ``--beside FOLDER`` prints the losses of that run beside those of this one.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.faults.broken import WAYS
from tests.faults.hosts import can_make_hosts
from tests.faults.run import SERVERS, Options, Run, running
from tests.faults.schedule import FAULTS, faults_of
from tests.faults.tally import Phase, summed, table
from tests.support import give_children_default_signals

FIGURES = "figures.json"
MOST_SHOWN = 20


def main() -> int:
    """Run the faults that are asked for, one after the other, until the time is over."""
    arguments = _arguments()
    if not can_make_hosts():
        print("tests.faults: needs root, unshare, nsenter and ip, to make two hosts")
        return 2
    give_children_default_signals()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(2))
    folder = Path(arguments.folder or tempfile.mkdtemp(prefix="faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"logs: {folder}; seed {arguments.seed}", flush=True)
    options = Options(
        arguments.storage,
        arguments.stale_after,
        arguments.min_age,
        arguments.broken,
        arguments.bare,
        arguments.seed,
    )
    with running(folder, options) as run:
        _run(run, arguments.faults, arguments.minutes * 60, random.Random(arguments.seed))
    phases = summed(run.phases)
    (folder / FIGURES).write_text(json.dumps([vars(phase) for phase in phases]))
    print(table([*phases, *_total(phases)], _beside(arguments.beside)))
    print(run.growth.summary())
    print(f"sweeps {run.books.written['sweep']}, seconds {run.seconds:.0f}")
    for text in run.judge.violations[:MOST_SHOWN]:
        print("VIOLATION in", text)
    print(f"{len(run.judge.violations)} violations")
    return 1 if run.judge.violations else 0


def _total(phases: list[Phase]) -> list[Phase]:
    copies = [Phase(**{**vars(phase), "name": "all"}) for phase in phases]
    return summed(copies)


def _beside(folder: str) -> list[Phase] | None:
    if not folder:
        return None
    phases = [Phase(**each) for each in json.loads((Path(folder) / FIGURES).read_text())]
    return [*phases, *_total(phases)]


def _run(run: Run, faults: list[str], seconds: float, draw: random.Random) -> None:
    end = time.monotonic() + seconds
    run.wait_for_consumers()
    for name in faults:
        run.fault(name)
    while time.monotonic() < end:
        run.fault(draw.choice(faults))
    run.finish()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--storage", choices=sorted(SERVERS), default="redis")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--stale-after", type=int, default=30)
    parser.add_argument("--min-age", type=int, default=60)
    parser.add_argument("--folder", help="where the logs go; default: a new temporary folder")
    parser.add_argument("--broken", choices=sorted(WAYS), default="", help="break the kit")
    parser.add_argument("--bare", action="store_true", help="run bare Huey, without the kit")
    parser.add_argument("--beside", default="", metavar="FOLDER", help="that of a run with --bare")
    parser.add_argument(
        "faults", nargs="*", metavar="FAULT", help=f"of {', '.join(FAULTS)}; default: all"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.faults) - set(FAULTS):
        parser.error(f"unknown fault {sorted(unknown)[0]!r}; there are {', '.join(FAULTS)}")
    arguments.faults = arguments.faults or faults_of(arguments.storage)
    return arguments


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception:
        traceback.print_exc()
        sys.exit(2)
