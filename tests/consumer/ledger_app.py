"""A consumer whose tasks say when they run, and can be held up."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from huey import crontab
from huey.api import Huey

from huey_signals_kit.ledger import open_ledger
from tests.consumer import app

GATE = "HUEY_KIT_TEST_GATE"


def summary(huey: Huey) -> dict[str, Any]:
    """Return sums of the ledger's counters by signal, the living workers, and how many records."""
    look = open_ledger(huey).snapshot()
    counts: dict[str, float] = {}
    for key, value in look.totals.items():
        if key[0] == "huey_signals_total":
            counts[key[-1]] = counts.get(key[-1], 0) + value
        elif key[0] == "huey_task_duration_seconds":
            counts["timed"] = counts.get("timed", 0) + value.count
    workers = [each.heartbeat.worker for each in look.processes if each.alive]
    return {"counts": counts, "workers": sorted(workers), "records": len(look.processes)}


def declare(huey: Huey):
    """A task that does nothing, and one that waits until the gate is a file.

    A periodic task is declared, too, and never due.
    """

    @huey.task()
    def quick(n):
        return n

    @huey.task()
    def slow():
        while not Path(os.environ[GATE]).exists():
            time.sleep(0.02)
        return 1

    @huey.periodic_task(crontab(month="2", day="30"))
    def never():
        return None

    return quick, slow


if "HUEY_KIT_TEST_KIND" in os.environ:
    from huey_signals_kit import install_handlers

    parts = ("KIND", "LOCATION", "NAME")
    huey = app.Place(*(os.environ[f"HUEY_KIT_TEST_{part}"] for part in parts)).open()
    declare(huey)
    install_handlers(huey, sinks="memory")
