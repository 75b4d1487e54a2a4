"""The fault run, in its shortest form; ``python -m tests.faults`` runs all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.hosts import can_make_hosts

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not can_make_hosts(), reason="needs the right to make namespaces"),
]


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run one short fault on two hosts."""
    command = [sys.executable, "-m", "tests.faults", "--minutes", "0", "--folder", str(folder)]
    return subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=280
    )


def figures(output: str) -> dict[str, str]:
    """Return the last row of the table, which has the sums, by its titles."""
    rows = [line.strip("| ").split("|") for line in output.splitlines() if line.startswith("| ")]
    return {title.strip(): cell.strip() for title, cell in zip(rows[0], rows[-1], strict=True)}


def test_a_short_run_on_two_hosts_breaks_nothing(tmp_path):
    """Killed holders, and a Redis that refuses writes: what is stored is what happened."""
    done = run(tmp_path, "killed-once", "read-only")
    assert done.returncode == 0, done.stdout + done.stderr
    found = figures(done.stdout)
    assert found["violations"] == "0"
    freed, stale = map(int, found["freed"].split("/"))
    assert freed == stale >= 1
    assert int(found["locks held"]) > 10
    assert int(found["results"].split("/")[0]) > 20
    assert int(found["counted"].split("/")[0]) > 20


@pytest.mark.parametrize(
    ("name", "text"), [("dead", "of the living task"), ("loses", "is missing")]
)
def test_a_broken_kit_is_noticed(tmp_path, name, text):
    """A kit that takes every holder for dead, or loses results, ends the run with exit code 1."""
    done = run(tmp_path, "--broken", name, "killed-once")
    assert done.returncode == 1, done.stdout + done.stderr
    assert text in done.stdout
