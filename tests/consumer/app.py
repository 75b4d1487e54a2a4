"""The application whose tasks a real consumer runs.

The test declares the same tasks on its own Huey, to enqueue them; in the consumer the
environment says which queue to open and whether the kit is installed.
"""

import json
import os

if os.environ.get("HUEY_KIT_TEST_WORKER") == "greenlet":
    # Huey leaves this to the application: first of all, before anything opens a socket.
    from gevent import monkey

    monkey.patch_all()

from types import SimpleNamespace

from huey.api import Huey
from huey.exceptions import TaskLockedException

from tests.support import Place


class Busy(Exception):
    """The application's own word for a lock that is taken."""


def declare(huey: Huey) -> SimpleNamespace:
    """Declares the tasks on a Huey."""

    @huey.task()
    def ordinary(n: int) -> int:
        return n * 2

    @huey.task()
    def guarded(n: int) -> int:
        with huey.lock_task("held"):
            return n

    @huey.task()
    def wrapped(n: int) -> int:
        try:
            with huey.lock_task("held"):
                return n
        except TaskLockedException as error:
            raise Busy(f"busy {n}") from error

    @huey.task()
    def fails(n: int) -> None:
        raise ValueError(f"broken {n}")

    return SimpleNamespace(ordinary=ordinary, guarded=guarded, wrapped=wrapped, fails=fails)


def build() -> Huey:
    """The consumer's Huey, as the environment describes it."""
    place = Place(*(os.environ[f"HUEY_KIT_TEST_{part}"] for part in ("KIND", "LOCATION", "NAME")))
    huey = place.open()
    declare(huey)
    options = json.loads(os.environ["HUEY_KIT_TEST_INSTALL"])
    if options is not None:
        from huey_signals_kit import install_handlers

        install_handlers(huey, **options)
    return huey


if "HUEY_KIT_TEST_KIND" in os.environ:
    huey = build()
