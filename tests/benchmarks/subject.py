"""What is measured: one Huey, bare or with the kit, and tasks that are ready to be executed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from huey.api import Huey

from huey_signals_kit import get_kit, install_handlers

BARE, KIT, ROUTES, BACKGROUND = "bare", "kit", "routes", "background"
OVERRIDDEN, KIT_OVERRIDDEN = "overridden", "kit-overridden"
LOCK = "held"
DEQUEUED = frozenset({"taking", "entering"})
"""The kinds of task that are measured from the queue on: who holds a lock is noted there."""


def _install(huey: Huey) -> None:
    install_handlers(huey, preset="quiet-locks")


def _install_routes(huey: Huey) -> None:
    """Everything that an ordinary task may meet: sinks, durations, breadcrumbs."""
    from prometheus_client import CollectorRegistry

    from huey_signals_kit.sinks.prometheus import PrometheusSink

    sinks = ["memory", PrometheusSink(CollectorRegistry())]
    install_handlers(huey, preset="quiet-locks", sinks=sinks, sentry=True)


def _install_background(huey: Huey) -> None:
    """A handler that takes a second for every event."""
    kit = install_handlers(huey, preset="quiet-locks")
    kit.on("locked", background=True)(lambda event: time.sleep(1))


def _override(huey: Huey) -> None:
    """A class of the user's, as Huey's documentation has it: a field more in each error."""

    class Mine(type(huey)):  # type: ignore[misc]
        def build_error_result(self, task: Any, exception: BaseException) -> dict[str, Any]:
            return {**super().build_error_result(task, exception), "args": repr(task.args)}

    huey.__class__ = Mine


def _install_over_an_override(huey: Huey) -> None:
    _override(huey)
    _install(huey)


_INSTALL: dict[str, Callable[[Huey], None]] = {
    BARE: lambda huey: None,
    KIT: _install,
    ROUTES: _install_routes,
    BACKGROUND: _install_background,
    OVERRIDDEN: _override,
    KIT_OVERRIDDEN: _install_over_an_override,
}


class Subject:
    """A Huey with an ordinary, a locked and a revoked kind of task."""

    def __init__(self, huey: Huey, side: str) -> None:
        self.huey = huey
        _INSTALL[side](huey)

        @huey.task()
        def ordinary() -> int:
            return 1

        @huey.task()
        def locked() -> None:
            with huey.lock_task(LOCK):
                raise AssertionError("the lock is free")

        @huey.task()
        @huey.lock_task("decorated")
        def taking() -> int:
            return 1

        @huey.task()
        def entering() -> int:
            with huey.lock_task("entered"):
                return 1

        @huey.task()
        def revoked() -> None:
            raise AssertionError("the token is gone")

        self._tasks = {
            "ordinary": ordinary,
            "locked": locked,
            "revoked": revoked,
            "taking": taking,
            "entering": entering,
        }

    def prepare(self, kind: str, count: int) -> list[Any]:
        """Empty the store, and take *count* tasks from the queue that a worker would execute."""
        self.huey.flush()
        self.huey.lock_task(LOCK).__enter__()
        for _ in range(count):
            result = self._tasks[kind]()
            if kind == "revoked":
                self.huey.revoke_by_id(result.id)
        self.add_up()
        if kind in DEQUEUED:
            return [None] * count
        storage = self.huey.storage  # a worker has one in hand, and not all of them
        return [self.huey.deserialize_task(storage.dequeue()) for _ in range(count)]

    def run(self, tasks: list[Any]) -> None:
        """Execute *tasks*, leaving the list empty; this alone is measured."""
        execute, dequeue = self.huey.execute, self.huey.dequeue
        while tasks:
            execute(tasks.pop() or dequeue())

    def add_up(self) -> None:
        """What the kit has put off until somebody asks, or until the tick."""
        kit = get_kit(self.huey)
        if kit is not None:
            kit.count("huey_task_duration_seconds")

    def close(self) -> None:
        """Leave nothing in the store."""
        self.huey.flush()
        self.huey.storage.close()


def silence_huey() -> None:
    """Turn Huey's logging off, in this process."""
    logging.getLogger("huey").setLevel(logging.CRITICAL + 1)
