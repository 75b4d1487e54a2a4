"""The application of the race soak: every run and every skip of a task is written down in Redis."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

from huey.api import Huey
from huey.signals import SIGNAL_REVOKED

from huey_signals_kit import install_handlers
from tests.support import Place

RAN, SKIPPED = "soak-ran", "soak-skipped"


def note(huey: Huey, what: str, task) -> None:
    """Write down that something has happened to *task*."""
    huey.storage.conn.rpush(f"{what}:{huey.storage.name}", task.id)


def noted(huey: Huey, what: str) -> list[str]:
    """The ids to which it has happened, once for each time."""
    return [
        each.decode() for each in huey.storage.conn.lrange(f"{what}:{huey.storage.name}", 0, -1)
    ]


def has_happened(huey: Huey, what: str, task) -> bool:
    """Whether it has happened to *task*."""
    return huey.storage.conn.lpos(f"{what}:{huey.storage.name}", task.id) is not None


def declare(huey: Huey) -> SimpleNamespace:
    """Declares the tasks, on the application's Huey and on the consumer's."""

    @huey.task(context=True)
    def job(*_, seconds=0.0, task):
        note(huey, RAN, task)
        time.sleep(seconds)

    @huey.task(context=True)
    def failing(*_, task):
        note(huey, RAN, task)
        raise ValueError("failed")

    return SimpleNamespace(job=job, failing=failing)


if "HUEY_KIT_TEST_KIND" in os.environ:
    parts = ("KIND", "LOCATION", "NAME")
    huey = Place(*(os.environ[f"HUEY_KIT_TEST_{part}"] for part in parts)).open()
    declare(huey)
    huey.signal(SIGNAL_REVOKED)(lambda signal, task: note(huey, SKIPPED, task))
    # As it stands in the examples: spent tokens are cleaned meanwhile as well.
    install_handlers(huey, preset="quiet-locks", sinks="memory")
