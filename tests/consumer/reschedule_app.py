"""The application of consumers that reschedule: one task, and a preset with short times."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huey.api import Huey
from huey.signals import SIGNAL_ERROR, SIGNAL_LOCKED, SIGNAL_RETRYING

from huey_signals_kit import Registry, install_handlers
from huey_signals_kit.handlers import RescheduleLocked
from tests.support import Place


def preset(give_up_after: float) -> Registry:
    """A preset that reschedules after short times."""
    registry = Registry("short times")
    handler = RescheduleLocked(delay=0.1, backoff=1.5, max_delay=1.0, give_up_after=give_up_after)
    registry.add(handler, SIGNAL_LOCKED, SIGNAL_ERROR, SIGNAL_RETRYING)
    return registry


def declare(huey: Huey) -> Callable[..., Any]:
    """Declares the task on a Huey: proves by an exclusive file that it runs alone."""

    @huey.task(name="alone")
    def alone(folder: str, n: int) -> int:
        with huey.lock_task("one"):
            mine = Path(folder) / "running"
            mine.touch(exist_ok=False)
            mine.unlink()
            return n

    return alone


if "HUEY_KIT_TEST_KIND" in os.environ:
    place = (os.environ[f"HUEY_KIT_TEST_{part}"] for part in ("KIND", "LOCATION", "NAME"))
    huey = Place(*place).open()
    declare(huey)
    install_handlers(huey, preset(**json.loads(os.environ["HUEY_KIT_TEST_INSTALL"])))
