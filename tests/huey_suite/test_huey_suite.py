"""Huey's own tests, bare and with "quiet-locks" on every Huey: what differs is meant to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import huey
import pytest

from tests.support import tail

RUN = Path(__file__).with_name("run.py")
NO_POSTGRES = "postgresql://127.0.0.1:1/none"

# What fails only with the kit, and why it has to.
EXPECTED = {
    "huey.tests.test_api.TestQueue.test_revoke_task_instance_persistent": (
        "asserts that a token stays after a skip"
    ),
}

QUICK = [f"huey.tests.test_{name}" for name in ("api", "consumer", "immediate", "signals")]

pytestmark = pytest.mark.skipif(
    not huey.__version__.startswith("3.5."),
    reason=f"what is expected was found with Huey 3.5, this is {huey.__version__}",
)


@pytest.fixture
def run(request: pytest.FixtureRequest, redis_url: str, tmp_path: Path) -> Callable[..., Any]:
    """`run(mode, *tests)` in a folder of its own, without Postgres where there is none."""
    dsn = NO_POSTGRES
    if request.config.getoption("--all-storages"):
        with suppress(pytest.skip.Exception):
            dsn = request.getfixturevalue("postgres_dsn")
    settings = {"PYTHONPATH": str(RUN.parents[2]), "HUEY_SLOW_TESTS": "1", "HUEY_PG_DSN": dsn}
    settings["SQLHUEY_URL"] = "sqlite:///huey-sqlite.db"
    return partial(_run, tmp_path, redis_url, os.environ | settings)


def _run(
    folder: Path, redis_url: str, env: dict[str, str], mode: str, *tests: str
) -> dict[str, Any]:
    out, log = folder / "outcome.json", folder / "run.log"
    out.unlink(missing_ok=True)
    command = [sys.executable, str(RUN), mode, redis_url, str(out), *tests]
    with log.open("wb") as output, suppress(subprocess.TimeoutExpired):
        subprocess.run(command, cwd=folder, env=env, stdout=output, stderr=output, timeout=280)
    assert out.exists(), f"Huey's tests ({mode}) broke off or hung{tail(log)}"
    return json.loads(out.read_text())


def run_all(run: Callable[..., Any], mode: str) -> dict[str, Any]:
    """All tests; some depend on timing, so one has failed if it fails again, alone."""
    outcome = run(mode)
    again = {test: "\n".join(run(mode, test)["failed"].values()) for test in outcome["failed"]}
    return outcome | {"failed": {test: text for test, text in again.items() if text}}


@pytest.mark.slow
def test_of_the_quick_tests_only_the_expected_ones_fail(run: Callable[..., Any]) -> None:
    """Those of tasks, consumers and signals pass with the kit, but for the expected ones."""
    kit = run("kit", *QUICK)
    assert kit["failed"].keys() == EXPECTED.keys(), kit["failed"]
    assert not kit["logged"], "\n".join(kit["logged"])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_only_what_is_meant_to_differ_fails(run: Callable[..., Any]) -> None:
    """Huey's tests pass with the kit but for the expected ones, and the kit logs no failure."""
    bare, kit = run_all(run, "bare"), run_all(run, "kit")
    failed = {test: text for test, text in kit["failed"].items() if test not in bare["failed"]}
    unexpected = failed.keys() - EXPECTED
    assert not unexpected, "\n".join(failed[test] for test in unexpected)
    assert failed.keys() == EXPECTED.keys(), "an expected failure did not happen"
    assert not kit["logged"], "\n".join(kit["logged"])
    assert (kit["count"], kit["skipped"]) == (bare["count"], bare["skipped"])
    assert "requires redis server" not in kit["skipped"].values()
