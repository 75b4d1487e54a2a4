"""Child processes of the tests, where the test run itself ignores signals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHILD = "import signal; print([signal.getsignal(signal.Signals[n]) for n in ('SIGHUP', 'SIGQUIT')])"
PARENT = f"""
import os, signal, subprocess, sys
from tests.support import give_children_default_signals

before = subprocess.check_output([sys.executable, "-c", {CHILD!r}], text=True)
give_children_default_signals()
after = subprocess.check_output([sys.executable, "-c", {CHILD!r}], text=True)
for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    os.kill(os.getpid(), signum)
print(before, after, "survived", sep="")
"""


def test_children_do_not_inherit_what_nohup_ignores() -> None:
    """A child starts with default dispositions, and this process goes on ignoring the signals."""
    shell = """trap '' INT HUP QUIT; exec "$0" -c "$1" """
    done = subprocess.run(
        ["bash", "-c", shell, sys.executable, PARENT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    before, after, last = done.stdout.splitlines()
    assert before.count("SIG_IGN") == 2
    assert after.count("SIG_DFL") == 2
    assert last == "survived", done.stderr
