"""A consumer whose sink fails every second time, and whose background handler may be slow.

Both write to the file that the environment names.
"""

from __future__ import annotations

import json
import os
import time

from tests.consumer import app

OUTPUT = "HUEY_KIT_TEST_OUTPUT"
SLOW = "HUEY_KIT_TEST_SLOW"
INTERVAL = "HUEY_KIT_TEST_INTERVAL"


def write(**record: object) -> None:
    """Append a line, whole, whichever process writes."""
    with open(os.environ[OUTPUT], "ab", buffering=0) as file:
        file.write(json.dumps({"pid": os.getpid(), **record}).encode() + b"\n")


class Flaky:
    """Takes what it is given every second time."""

    interval = float(os.environ.get(INTERVAL, "0.05"))

    def __init__(self) -> None:
        self._calls = 0

    def send(self, changes):
        self._calls += 1
        if self._calls % 2:
            raise OSError("the collector is away")
        for each in changes:
            value = each.value if isinstance(each.value, int) else each.value.count
            write(metric=each.metric, labels=dict(each.labels), value=value)


if OUTPUT in os.environ:
    from huey_signals_kit import install_handlers

    huey = app.Place(
        *(os.environ[f"HUEY_KIT_TEST_{part}"] for part in ("KIND", "LOCATION", "NAME"))
    ).open()
    app.declare(huey)
    kit = install_handlers(huey, sinks=[Flaky()])
    seconds = float(os.environ.get(SLOW, "0"))
    if seconds:

        @kit.on("locked", background=True, name="slow")
        def slow(event):
            write(began=event.task_id)
            time.sleep(seconds)
            write(handled=event.task_id)
