"""The two rounds: the same plan, once bare and once with the kit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .._shared.exits import CommandError
from .consumer import running_consumer
from .figures import Figures, measure
from .places import Place, StorageFactory
from .settings import Settings
from .tally import Done, Tally
from .work import LOCK, Enqueued, Plan, enqueue

Advance = Callable[[str, str, int], None]
"""Told of each step: which round, what is going on, how many tasks are through."""


@dataclass(frozen=True)
class Comparison:
    """Both rounds, and the plan that both followed."""

    plan: Plan
    bare: Figures
    kit: Figures

    @property
    def nothing_lost(self) -> bool:
        """Whether the kit's round has kept every result and every real error."""
        due = (self.plan.succeeding, self.plan.failing)
        return (self.kit.results, self.kit.real_errors) == due

    @property
    def as_promised(self) -> bool:
        """Whether besides it has left no lock error and no token."""
        return self.nothing_lost and not self.kit.lock_errors and not self.kit.tokens

    def as_json(self) -> dict[str, dict[str, float]]:
        """All numbers by name, for a machine."""
        return {"work": asdict(self.plan), "bare": asdict(self.bare), "kit": asdict(self.kit)}


def compare(
    plan: Plan, storage_factory: StorageFactory, folder: Path, workers: int, advance: Advance
) -> Comparison:
    """Play both rounds, one after the other, with the logs in *folder*."""
    figures = {
        label: _play(plan, _settings(storage_factory.place(label), folder, label), workers, advance)
        for label in ("bare", "kit")
    }
    return Comparison(plan, **figures)


def _settings(place: Place, folder: Path, label: str) -> Settings:
    return Settings(place, str(folder / f"{label}.tally"), kit=label == "kit")


def _play(plan: Plan, settings: Settings, workers: int, advance: Advance) -> Figures:
    huey = settings.place.open()
    label = "kit" if settings.kit else "bare"
    try:
        enqueued = enqueue(huey, plan, lambda n: advance(label, f"enqueuing {n:,}", 0))
        # The log stands beside the tally.
        log = Path(settings.tally).with_suffix(".log")
        # Held from here, as by a task that takes all night; free again before we measure.
        with huey.lock_task(LOCK), running_consumer(settings, workers, log) as consumer:
            advance(label, "starting", 0)
            consumer.work_until(plan.total, lambda n: advance(label, "working", n))
            advance(label, "stopping", plan.total)
        advance(label, "done", plan.total)
        return _measured(huey, plan, enqueued, Tally(Path(settings.tally)).read())
    finally:
        _close(huey.storage)


def _measured(huey: Any, plan: Plan, enqueued: Enqueued, done: Done) -> Figures:
    if done.kinds != asdict(plan):
        raise CommandError(f"the consumer was given {asdict(plan)}, but did {done.kinds}")
    return measure(huey, enqueued, done)


def _close(storage: Any) -> None:
    storage.close()
    if hasattr(storage, "pool"):
        storage.pool.disconnect()
