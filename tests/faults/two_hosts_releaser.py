"""Runs ``huey-signals locks release`` and ``sweep`` again and again, until it is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from tests.faults.two_hosts_app import events, write_release

HUEY = "tests.faults.two_hosts_app.huey"
KIT = [sys.executable, "-m", "huey_signals_kit"]
RELEASE = [*KIT, "locks", "release", HUEY, "--stale", "--apply", "--json", "--min-age"]
SWEEP = [*KIT, "sweep", HUEY, "--apply", "--json", "--min-age"]
PAUSE_SECONDS = 2
SWEEP_PAUSE_SECONDS = 20
SWEEP_AGE_SECONDS = 150
"""Longer than any fault keeps a task in the hands of a process that nothing is known of."""


def sweep() -> float:
    """Sweep once, and write down what was deleted; return the time."""
    age = f"{SWEEP_AGE_SECONDS}s"
    done = subprocess.run([*SWEEP, age], capture_output=True, text=True)
    try:
        deleted = json.loads(done.stdout)["deleted"]
    except (ValueError, KeyError):
        deleted = 0
    events.write("sweep", code=done.returncode, deleted=deleted)
    return time.monotonic()


def main(min_age: str) -> None:
    """Write down each lock that a command released, and how each command ended."""
    swept = 0.0
    while True:
        begun = time.monotonic()
        if begun - swept > SWEEP_PAUSE_SECONDS:
            swept = sweep()
        done = subprocess.run([*RELEASE, min_age], capture_output=True, text=True)
        try:
            released = json.loads(done.stdout)["released"]
        except (ValueError, KeyError):
            released = []
        for lock in released:
            write_release(events, lock, "the command")
        events.write("command", code=done.returncode, seconds=time.monotonic() - begun)
        if done.returncode:
            print(f"{begun:.1f} exit code {done.returncode}", done.stderr[-600:], flush=True)
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1])
