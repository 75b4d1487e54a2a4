"""A consumer whose tasks say when they run, and can be held up."""

from __future__ import annotations

import os
import time
from pathlib import Path

from huey.api import Huey

from tests.consumer import app

GATE = "HUEY_KIT_TEST_GATE"


def declare(huey: Huey):
    """A task that does nothing, and one that waits until the gate is a file."""

    @huey.task()
    def quick(n):
        return n

    @huey.task()
    def slow():
        while not Path(os.environ[GATE]).exists():
            time.sleep(0.02)
        return 1

    return quick, slow


if "HUEY_KIT_TEST_KIND" in os.environ:
    from huey_signals_kit import install_handlers

    parts = ("KIND", "LOCATION", "NAME")
    huey = app.Place(*(os.environ[f"HUEY_KIT_TEST_{part}"] for part in parts)).open()
    declare(huey)
    install_handlers(huey, sinks="memory")
