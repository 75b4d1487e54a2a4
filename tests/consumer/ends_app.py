"""A consumer with three sinks, one that takes what it is given, one that fails, one that hangs.

Each writes to the file that the environment names. Without the kit there are no sinks.
"""

from __future__ import annotations

import json
import os
import threading
import time

from tests.consumer import app
from tests.consumer.sinks_app import OUTPUT, write


class Takes:
    """Takes all of it."""

    name = "takes"
    interval = 3600

    def send(self, changes):
        for each in changes:
            if each.labels.get("signal") == "complete":
                write(sink="takes", value=each.value)


class Fails:
    """Takes nothing, and says so."""

    name = "fails"
    interval = 3600

    def send(self, changes):
        write(sink="fails", at=time.time())
        raise OSError("the collector is away")


class Hangs:
    """Never returns."""

    name = "hangs"
    interval = 3600

    def send(self, changes):
        write(sink="hangs")
        threading.Event().wait()


if OUTPUT in os.environ:
    huey = app.Place(
        *(os.environ[f"HUEY_KIT_TEST_{part}"] for part in ("KIND", "LOCATION", "NAME"))
    ).open()
    app.declare(huey)
    if json.loads(os.environ["HUEY_KIT_TEST_INSTALL"]) is not None:
        from huey_signals_kit import install_handlers

        install_handlers(huey, sinks=[Takes(), Fails(), Hangs()])
