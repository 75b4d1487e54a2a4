"""The two rounds of the demo: the same tasks, first with bare Huey, then with the kit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .._shared.exits import CommandError
from .consumer import running_consumer
from .figures import Figures, measure
from .settings import Settings
from .storages import DemoStorage, StorageFactory
from .tally import EndedTasks, Tally
from .work import LOCK, Enqueued, Plan, enqueue_all

OnProgress = Callable[[str, str, int], None]
"""Called with the label of the round, its current step, and how many tasks have ended."""


@dataclass(frozen=True)
class Comparison:
    """The figures of both rounds, and their plan."""

    plan: Plan
    bare: Figures
    kit: Figures

    @property
    def is_nothing_lost(self) -> bool:
        """Whether every result and every real error is stored after the round with the kit."""
        planned = (self.plan.succeeding, self.plan.failing)
        return (self.kit.results, self.kit.real_errors) == planned

    @property
    def is_as_promised(self) -> bool:
        """Whether, besides, no lock error and no token is stored."""
        return self.is_nothing_lost and not self.kit.lock_errors and not self.kit.tokens

    def as_json(self) -> dict[str, dict[str, float]]:
        """Return all numbers by name."""
        return {"work": asdict(self.plan), "bare": asdict(self.bare), "kit": asdict(self.kit)}


def compare(
    plan: Plan, storages: StorageFactory, folder: Path, workers: int, on_progress: OnProgress
) -> Comparison:
    """Run both rounds, one after the other.

    Args:
        plan: The tasks of each round.
        storages: Creates the storage of each round.
        folder: Folder for tallies and logs.
        workers: Number of threads of each consumer.
        on_progress: Called at each step.
    """
    figures = {
        label: _run_round(
            plan, _settings(storages.create(label), folder, label), workers, on_progress
        )
        for label in ("bare", "kit")
    }
    return Comparison(plan, **figures)


def _settings(storage: DemoStorage, folder: Path, label: str) -> Settings:
    return Settings(storage, str(folder / f"{label}.tally"), kit=label == "kit")


def _run_round(plan: Plan, settings: Settings, workers: int, on_progress: OnProgress) -> Figures:
    """Enqueue the tasks, run a consumer until all have ended, and measure what is stored.

    This process holds the lock all the while, as a long task would, and releases it before it
    measures.
    """
    huey = settings.storage.open()
    label = "kit" if settings.kit else "bare"
    try:
        enqueued = enqueue_all(huey, plan, lambda n: on_progress(label, f"enqueuing {n:,}", 0))
        log = Path(settings.tally).with_suffix(".log")
        with huey.lock_task(LOCK), running_consumer(settings, workers, log) as consumer:
            on_progress(label, "starting", 0)
            consumer.work_until(plan.total, lambda n: on_progress(label, "working", n))
            on_progress(label, "stopping", plan.total)
        on_progress(label, "done", plan.total)
        return _measure(huey, plan, enqueued, Tally(Path(settings.tally)).read())
    finally:
        _close(huey.storage)


def _measure(huey: Any, plan: Plan, enqueued: Enqueued, ended: EndedTasks) -> Figures:
    if ended.kinds != asdict(plan):
        raise CommandError(f"the consumer was given {asdict(plan)}, but did {ended.kinds}")
    return measure(huey, enqueued, ended)


def _close(storage: Any) -> None:
    storage.close()
    if hasattr(storage, "pool"):
        storage.pool.disconnect()
