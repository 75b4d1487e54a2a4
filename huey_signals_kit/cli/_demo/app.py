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
from .shop import open_shop
from .tally import Tally
from .work import declare_tasks


def create_huey(settings: Settings) -> Any:
    """Return the Huey of one round, or of the shop."""
    if settings.is_shop:
        return open_shop(settings.storage)
    huey = settings.storage.open()
    declare_tasks(huey)
    Tally(Path(settings.tally)).connect(huey)
    if settings.kit:
        install_handlers(huey, preset="quiet-locks")
    return huey


def stop_with_parent() -> None:
    """Stop this consumer when the demo ends, even by SIGKILL: that closes the pipe at stdin."""
    # Not by sys.stdin, whose lock blocks the end of the interpreter.
    os.read(0, 1)
    # In a background job of a shell SIGINT is ignored until Huey's consumer sets its handlers.
    while signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)


settings = Settings.from_environment()
if settings is not None:
    threading.Thread(target=stop_with_parent, daemon=True).start()
    huey = create_huey(settings)
