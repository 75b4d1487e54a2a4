"""Tasks that hold a lock until they are told to go on; on another host, if the environment says."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

from huey.api import Huey

from tests.support import Place

GATES = "HUEY_KIT_TEST_GATES"
HOST = "HUEY_KIT_TEST_HOST"


def declare(huey: Huey):
    """A task that holds *lock*, and says in a file of its own which process it is in."""

    @huey.task(name="guarded", context=True)
    def guarded(lock, keep=False, task=None):
        if keep:  # it never frees what it has taken
            return huey.lock_task(lock).__enter__() is not None
        gates = Path(os.environ[GATES])
        with huey.lock_task(lock):
            (gates / f"{task.id} is in").write_text(f"{os.getpid()}\n")
            while not (gates / f"{task.id} may go").exists():
                time.sleep(0.02)
        return os.getpid()

    return guarded


if "HUEY_KIT_TEST_KIND" in os.environ:
    if HOST in os.environ:
        socket.gethostname = lambda: os.environ[HOST]
    parts = ("KIND", "LOCATION", "NAME")
    huey = Place(*(os.environ[f"HUEY_KIT_TEST_{part}"] for part in parts)).open()
    declare(huey)
    # The command line has no kit installed.
    options = json.loads(os.environ.get("HUEY_KIT_TEST_INSTALL", "null"))
    if options is not None:
        from huey_signals_kit import install_handlers

        install_handlers(huey, **options)
