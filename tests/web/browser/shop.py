"""The queue of the demo on Redis, and its page on a server in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from huey_signals_kit.cli._demo.playground import Playground
from huey_signals_kit.cli._demo.shop import write_module
from huey_signals_kit.cli._demo.storages import storage_factory
from tests.support import store, wait_until

ROOT = Path(__file__).parents[3]
SECONDS = 60
PAUSED = "shop.remind_customer"


class Shop:
    """A queue with a dead holder, garbage and a history; no consumer runs.

    Args:
        playground: The queue.
        folder: Where its module ``shop`` is.
    """

    def __init__(self, playground: Playground, folder: Path) -> None:
        self.playground = playground
        self.huey: Any = playground.huey
        self.folder = folder

    @property
    def stored(self) -> dict[str, bytes]:
        """The content of the result store."""
        return store(self.huey)

    @property
    def orphan(self) -> str:
        """An id whose revoke token is stored, although the task no longer exists."""
        return min(key[2:] for key in self.stored if key.startswith("r:"))

    @property
    def failed(self) -> str:
        """The id of a task whose error is stored."""
        return min(key for key, value in self.stored.items() if b"TaskLockedException" in value)

    @property
    def queued(self) -> list[Any]:
        """The tasks that wait in the queue."""
        return list(self.huey.pending())

    @property
    def unlinked(self) -> list[str]:
        """Pages that no link of the overview leads to: a person comes by the id of a task."""
        return [
            f"task?id={self.orphan}",
            f"task?id={self.failed}",
            f"act/delete-token?key=r:{self.orphan}",
            f"act/restore?id={self.orphan}",
            f"act/resume?name={PAUSED}",
            "act/run-now?name=shop.refresh_prices",
            "act/pause?name=shop.send_invoice",
            "act/revoke?name=shop.send_invoice",
            f"act/run-again?id={self.failed}",
        ]

    @contextmanager
    def served(self, *options: str) -> Iterator[str]:
        """Run ``huey-signals web`` during the block, and yield the address of the overview."""
        log = self.folder / "web.log"
        command = [sys.executable, "-m", "huey_signals_kit", "web", "shop.huey", "--port", "0"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(self.folder)])}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, *options], cwd=self.folder, env=environment, stderr=output
            )

        def address() -> str | None:
            assert process.poll() is None, log.read_text()
            found = re.search(r"Serving (\S+?);?\s", log.read_text())
            return found and found[1]

        try:
            yield str(wait_until(address, SECONDS, "the page", log))
        finally:
            process.terminate()
            process.wait(SECONDS)


@contextmanager
def filled_shop(redis_url: str, folder: Path) -> Iterator[Shop]:
    """Fill a queue, and delete it after the block."""
    with storage_factory(folder, redis_url) as storages:
        storage = storages.create_shop()
        write_module(storage, folder)
        playground = Playground(storage)
        playground.fill(folder)
        paused = playground.huey._registry.string_to_task(PAUSED)
        playground.huey.revoke_all(paused, revoke_until=datetime(2099, 1, 1))
        yield Shop(playground, folder)
