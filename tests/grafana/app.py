"""The application of the consumers that a real Prometheus scrapes."""

from __future__ import annotations

import json
import os
import socket
import time
from types import SimpleNamespace

from huey import crontab
from huey.api import Huey

from tests.support import Place

HOST, PORT = "HUEY_KIT_TEST_HOST", "HUEY_KIT_TEST_PORT"


def declare(huey: Huey) -> SimpleNamespace:
    """Declare the tasks and the locks on a Huey."""
    for name in ("import", "ledger", "far"):
        huey.lock_task(name)

    @huey.task()
    def ordinary(n: int) -> int:
        return n

    @huey.task(retries=1)
    def fails() -> None:
        raise ValueError("broken")

    @huey.task()
    def hold(lock: str, seconds: float) -> None:
        with huey.lock_task(lock):
            time.sleep(seconds)

    @huey.task()
    def lose(lock: str) -> None:
        with huey.lock_task(lock):
            huey.delete(f"{huey.name}.lock.{lock}")  # as its ttl does

    @huey.periodic_task(crontab(minute="*"))
    def every_minute() -> None: ...

    return SimpleNamespace(ordinary=ordinary, fails=fails, hold=hold, lose=lose)


def install(huey: Huey) -> None:
    """Install the kit, with a handler that fails, and one that may lose events."""
    from huey_signals_kit import install_handlers

    kit = install_handlers(huey, **json.loads(os.environ["HUEY_KIT_TEST_INSTALL"]))

    @kit.on("complete", tasks="*.ordinary", name="tell_ops")
    def tell_ops(event: object) -> None:
        raise RuntimeError("no connection to the chat")

    @kit.on("complete", tasks="*.every_minute", background=True, name="archive")
    def archive(event: object) -> None: ...


if "HUEY_KIT_TEST_KIND" in os.environ:
    if HOST in os.environ:
        socket.gethostname = lambda: os.environ[HOST]
    parts = ("KIND", "LOCATION", "NAME")
    huey = Place(*(os.environ[f"HUEY_KIT_TEST_{part}"] for part in parts)).open()
    declare(huey)
    if "HUEY_KIT_TEST_INSTALL" in os.environ:
        install(huey)
    if PORT in os.environ:
        from prometheus_client import start_http_server

        start_http_server(int(os.environ[PORT]), "127.0.0.1")
