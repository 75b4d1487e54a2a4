"""The application of a real consumer, with Sentry; what it sends is written to a file."""

import json
import os
from pathlib import Path

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
    def report(secret: str) -> None:
        with huey.lock_task("held"):
            raise ValueError("broken")

    @huey.task()
    def wrapped() -> None:
        try:
            with huey.lock_task("held"):
                raise ValueError("broken")
        except TaskLockedException as error:
            raise Busy from error

    @huey.task()
    def other() -> None:
        raise KeyError("another task")

    @huey.task()
    def done() -> bool:
        return True

    return SimpleNamespace(report=report, wrapped=wrapped, other=other, done=done)


def build() -> Huey:
    """The consumer's Huey, as the environment describes it; Sentry is set up after the kit."""
    place = Place(*(os.environ[f"HUEY_KIT_TEST_{part}"] for part in ("KIND", "LOCATION", "NAME")))
    huey = place.open()
    declare(huey)
    from huey_signals_kit import install_handlers

    install_handlers(huey, **json.loads(os.environ["HUEY_KIT_TEST_INSTALL"]))

    import sentry_sdk

    from tests.sentry.transport import DSN, FileTransport, integrations_for

    sentry_sdk.init(
        DSN,
        transport=FileTransport(Path(os.environ["HUEY_KIT_TEST_SENTRY_FILE"])),
        default_integrations=False,
        integrations=integrations_for(os.environ["HUEY_KIT_TEST_SENTRY_SETUP"]),
    )
    return huey


if "HUEY_KIT_TEST_KIND" in os.environ:
    huey = build()
