"""Runs ``huey-signals locks release --stale --apply`` again and again, until it is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from tests.faults.two_hosts_app import events, write_release

COMMAND = [
    *(sys.executable, "-m", "huey_signals_kit", "locks", "release"),
    *("tests.faults.two_hosts_app.huey", "--stale", "--apply", "--json", "--min-age"),
]
PAUSE_SECONDS = 1


def main(min_age: str) -> None:
    """Write down each lock that a command released, and how each command ended."""
    while True:
        begun = time.monotonic()
        done = subprocess.run([*COMMAND, min_age], capture_output=True, text=True)
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
