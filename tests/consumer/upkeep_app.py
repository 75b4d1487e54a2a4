"""One queue for consumers, an application and the command line, the kit installed in each."""

from __future__ import annotations

import os

from huey.api import Huey

from tests.support import Place


def declare(huey: Huey):
    """A task that does nothing."""

    @huey.task(name="quick")
    def quick(n):
        return n

    return quick


if "HUEY_KIT_TEST_KIND" in os.environ:
    from huey_signals_kit import install_handlers

    parts = ("KIND", "LOCATION", "NAME")
    huey = Place(*(os.environ[f"HUEY_KIT_TEST_{part}"] for part in parts)).open()
    quick = declare(huey)
    install_handlers(huey, sinks="memory")
