"""The application of the demo, as ``huey_consumer`` imports it."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from ... import install_handlers
from .settings import Settings
from .tally import Tally
from .work import declare


def build(settings: Settings) -> Any:
    """The Huey of one round."""
    huey = settings.place.open()
    declare(huey)
    Tally(Path(settings.tally)).listen(huey)
    if settings.kit:
        install_handlers(huey, preset="quiet-locks")
    return huey


def stop_with_parent() -> None:
    """Stop this consumer when the demo is gone, even killed: then its end of stdin closes."""
    # Not sys.stdin, whose lock would make trouble when the process ends.
    os.read(0, 1)
    # In a background job of a shell SIGINT is ignored until Huey's consumer sets its handlers.
    while signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)


settings = Settings.told()
if settings is not None:
    threading.Thread(target=stop_with_parent, daemon=True).start()
    huey = build(settings)
