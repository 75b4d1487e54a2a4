"""Runs consumers on two hosts through faults of Redis, the network and the processes.

``python -m tests.faults --minutes 10`` needs root, for the namespaces. It prints a table, and
ends with exit code 1 if a lock had two holders or was not freed in time, and with 2 if the run
itself failed.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
import traceback
from itertools import cycle
from pathlib import Path

from tests.faults.broken import WAYS
from tests.faults.hosts import can_make_hosts
from tests.faults.run import Run, running
from tests.faults.schedule import DEFAULT, FAULTS
from tests.faults.tally import table
from tests.support import give_children_default_signals


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
    print(f"logs: {folder}", flush=True)
    age = arguments.min_age
    with running(folder, arguments.stale_after, age, arguments.broken) as run:
        _run(run, arguments.faults, arguments.minutes * 60)
    print(table(run.phases))
    for text in run.judge.violations:
        print("VIOLATION in", text)
    print(f"{len(run.judge.violations)} violations")
    return 1 if run.judge.violations else 0


def _run(run: Run, faults: list[str], seconds: float) -> None:
    end = time.monotonic() + seconds
    run.wait_for_consumers()
    for number, name in enumerate(cycle(faults)):
        if time.monotonic() > end and number >= len(faults):
            break
        run.fault(name)
    run.finish()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--stale-after", type=int, default=30)
    parser.add_argument("--min-age", type=int, default=60)
    parser.add_argument("--folder", help="where the logs go; default: a new temporary folder")
    parser.add_argument("--broken", choices=sorted(WAYS), default="", help="break the kit")
    parser.add_argument(
        "faults", nargs="*", metavar="FAULT", help=f"of {', '.join(FAULTS)}; default: all"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.faults) - set(FAULTS):
        parser.error(f"unknown fault {sorted(unknown)[0]!r}; there are {', '.join(FAULTS)}")
    arguments.faults = arguments.faults or DEFAULT
    return arguments


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception:
        traceback.print_exc()
        sys.exit(2)
