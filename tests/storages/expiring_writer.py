"""A process that stores one expiring error and then waits to be killed.

``python -m tests.storages.expiring_writer KIND LOCATION NAME SECONDS``, which prints the task's id.
"""

from __future__ import annotations

import sys
import time

from huey_signals_kit import install_handlers
from tests.support import Place, hold, run_all


def main(kind: str, location: str, name: str, seconds: str) -> None:
    huey = Place(kind, location, name).open()
    install_handlers(huey, preset=[])

    @huey.task(lock_errors=float(seconds))
    @huey.lock_task("held")
    def guarded() -> None:
        """Never runs."""

    hold(huey, "held")
    result = guarded()
    run_all(huey)
    huey.flush_locks("held")
    print(result.id, flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
