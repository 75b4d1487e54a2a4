"""The harness itself; how fast anything is, no test judges."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.table import Row, as_text
from tests.servers import REDIS_BINARY, NoServer, find_redis

FOLDER = Path(__file__).parent

MEASUREMENTS = [
    "memory, ordinary",
    "memory, failing",
    "memory, failing, 200 handlers of which one matches",
    "memory, locked",
    "memory, revoked",
    "memory, locked, own metadata",
    "memory, ordinary, with sinks",
    "memory, takes a lock",
    "memory, makes and takes a lock",
    "memory, ordinary, no longer traced",
    "redis, ordinary",
    "redis, locked",
    "redis, revoked",
    "redis, ordinary, with sinks",
    "redis, ordinary, traced",
    "redis, enqueued and ordinary, traced",
    "redis, locked, in background",
    "sqlite, locked",
    "redis, stored by a lock skip",
    "sqlite, stored by a lock skip",
    "memory, stored by a lock skip",
]


@pytest.fixture
def without_valgrind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide valgrind, but not Redis."""
    with suppress(NoServer):
        monkeypatch.setenv(REDIS_BINARY, find_redis())
    monkeypatch.setenv("PATH", "")


@pytest.mark.slow
@pytest.mark.timeout(900)  # valgrind takes its time to start
def test_every_row() -> None:
    """A quick run prints every measurement, and the kit stores no byte."""
    check_rows()


@pytest.mark.slow
@pytest.mark.usefixtures("without_valgrind")
def test_every_row_that_needs_no_valgrind() -> None:
    """Without valgrind, the instructions are missing from the table, and it says why."""
    rows = check_rows()
    assert {row["note"] for row in rows if row["unit"] == "instr"} == {
        "skipped: no valgrind: apt install valgrind"
    }


def check_rows() -> list[dict[str, Any]]:
    """Run the benchmark quickly and check the table."""
    rows = _quick_run()
    assert [row["name"] for row in rows] == MEASUREMENTS
    measured = {row["name"]: row for row in rows if not row["note"].startswith("skipped")}
    assert _needs_no_server() <= set(measured)
    assert all(row["bare"] > 0 for row in measured.values())
    assert {row["kit"] for row in measured.values() if row["unit"] == "bytes"} == {0}
    return rows


def test_table() -> None:
    """A measured row, a missed target and a skipped row, with its reason."""
    rows = [
        Row("redis, locked", "us", 0.45, 300.04, 100, 0.334),
        Row("memory, ordinary", "instr", 1.02, 55158, 60000, 1.0878),
        Row("memory, locked", "instr", 0.12, note="skipped: no valgrind"),
    ]
    assert as_text(rows).splitlines() == [
        "measurement               bare           kit  ratio  target      met",
        "----------------  ------------  ------------  -----  ------  -------",
        "redis, locked         300.0 us      100.0 us  0.334    0.45      yes",
        "memory, ordinary  55,158 instr  60,000 instr  1.088    1.02       NO",
        "memory, locked               -             -      -    0.12  skipped",
        "",
        "memory, locked: skipped: no valgrind",
    ]


def _needs_no_server() -> set[str]:
    names = {name for name in MEASUREMENTS if not name.startswith("redis")}
    if shutil.which("valgrind") is None:
        names -= {name for name in names if name.startswith("memory") and "stored" not in name}
    return names


def _quick_run() -> list[dict[str, Any]]:
    command = [sys.executable, str(FOLDER), "--quick", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    rows: list[dict[str, Any]] = json.loads(ended.stdout)
    return rows
