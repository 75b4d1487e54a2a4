"""What a fault acts on, and what all faults have in common."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

WELL_SECONDS = 10
"""Within which clients notice that their storage is well again."""
RETRANSMIT_SECONDS = 140
"""The same after a cut: TCP's longest pause between two attempts, and some."""


class Scene(Protocol):
    """What a fault acts on; `tests.faults.run.Run` is one."""

    hosts: dict[str, Any]
    server: Any
    judge: Any
    books: Any
    clock: Any
    trouble: Any
    draw: random.Random
    stale_after: float
    is_bare: bool

    @property
    def consumers(self) -> list[tuple[str, str]]:
        """The consumers, by host and kind of worker."""

    def prometheus_folder(self, host: str) -> Path:
        """Return the folder of Prometheus' multiprocess mode on a host."""

    def go_on(self, seconds: float) -> None:
        """Let work, kills and judgement go on for so many seconds."""

    def kill_holder(self, worker: str = "", host: str = "") -> bool:
        """Kill a process that is inside of a lock."""

    def find_holder(self, worker: str = "", host: str = "") -> tuple[Any, int] | None:
        """Return a host and the number of a process on it that is inside of a lock."""

    def hold_for(self, seconds: float, computes: bool = False) -> None:
        """Enqueue tasks that hold locks for so long."""


@contextmanager
def storage_unwell(scene: Scene, well_seconds: float = WELL_SECONDS) -> Iterator[None]:
    """Within this block no lock has to be freed, and a result may be lost as with bare Huey."""
    scene.judge.unwell()
    scene.books.unwell(time.monotonic())
    try:
        yield
    finally:
        scene.judge.well(time.monotonic())
        scene.books.well(time.monotonic(), well_seconds)


@contextmanager
def data_lost(scene: Scene) -> Iterator[None]:
    """Within this block the storage itself loses data."""
    lost = scene.judge.data_lost(time.monotonic())
    scene.books.losing()
    try:
        yield
    finally:
        lost.append(time.monotonic())
        scene.books.lost(time.monotonic())


def with_kills(scene: Scene, seconds: float, host: str = "") -> None:
    """Let so many seconds pass, and kill a holder meanwhile."""
    scene.go_on(seconds / 3)
    scene.kill_holder(host=host)
    scene.go_on(seconds * 2 / 3)
