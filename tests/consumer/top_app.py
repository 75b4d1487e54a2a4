"""A consumer with a task that holds a lock until the gate is a file."""

from __future__ import annotations

import os
import time
from pathlib import Path

from huey.api import Huey

from tests.consumer import app

GATE = "HUEY_KIT_TEST_GATE"
LOCK = "import:users"


def declare(huey: Huey):
    """That task."""

    @huey.task()
    @huey.lock_task(LOCK)
    def import_users():
        while not Path(os.environ[GATE]).exists():
            time.sleep(0.02)

    return import_users


if "HUEY_KIT_TEST_KIND" in os.environ:
    from huey_signals_kit import install_handlers

    parts = ("KIND", "LOCATION", "NAME")
    huey = app.Place(*(os.environ[f"HUEY_KIT_TEST_{part}"] for part in parts)).open()
    declare(huey)
    install_handlers(huey, sinks="memory")
