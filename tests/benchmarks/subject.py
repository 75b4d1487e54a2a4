"""What is measured: one Huey, bare or with the kit, and tasks that are ready to be executed."""

from __future__ import annotations

import logging
from typing import Any

from huey.api import Huey

from huey_signals_kit import install_handlers

BARE, KIT = SIDES = ("bare", "kit")
LOCK = "held"


class Subject:
    """A Huey with an ordinary, a locked and a revoked kind of task."""

    def __init__(self, huey: Huey, side: str) -> None:
        self.huey = huey
        if side == KIT:
            install_handlers(huey, preset="quiet-locks")

        @huey.task()
        def ordinary() -> int:
            return 1

        @huey.task()
        def locked() -> None:
            with huey.lock_task(LOCK):
                raise AssertionError("the lock is free")

        @huey.task()
        def revoked() -> None:
            raise AssertionError("the token is gone")

        self._tasks = {"ordinary": ordinary, "locked": locked, "revoked": revoked}

    def prepare(self, kind: str, count: int) -> list[Any]:
        """Empty the store, and take *count* tasks from the queue that a worker would execute."""
        self.huey.flush()
        self.huey.lock_task(LOCK).acquire()
        for _ in range(count):
            result = self._tasks[kind]()
            if kind == "revoked":
                self.huey.revoke_by_id(result.id)
        return [self.huey.dequeue() for _ in range(count)]

    def run(self, tasks: list[Any]) -> None:
        """Execute *tasks*, leaving the list empty; this alone is measured."""
        execute = self.huey.execute
        while tasks:
            execute(tasks.pop())

    def close(self) -> None:
        """Leave nothing in the store."""
        self.huey.flush()
        self.huey.storage.close()


def silence_huey() -> None:
    """Turn Huey's logging off, in this process."""
    logging.getLogger("huey").setLevel(logging.CRITICAL + 1)
