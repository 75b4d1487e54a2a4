"""Seconds per task, from short rounds of two sides in turn.

The ratio is the median over all pairs of neighbouring rounds: both of a pair meet the same noise
of the machine, so it moves far less from run to run than the ratio of the two medians does.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from statistics import median, quantiles
from typing import NamedTuple

from huey.api import Huey

from tests.benchmarks.subject import Subject

WARM_UP = 10


class Timing(NamedTuple):
    """The median seconds of both sides, and the quartiles of the second by the first."""

    base: float
    side: float
    low: float
    ratio: float
    high: float


def interleaved(
    make_huey: Callable[[str], Huey], kind: str, sides: tuple[str, str], rounds: int, tasks: int
) -> Timing:
    """Time *kind* on both *sides*; *make_huey* is given the name of a queue."""
    subjects = {side: Subject(make_huey(f"benchmark-{side}"), side) for side in sides}
    taken: dict[str, list[float]] = {side: [] for side in sides}
    gc.collect()
    gc.freeze()
    for number in range(WARM_UP + rounds):
        for side in sides if number % 2 else reversed(sides):
            taken[side].append(_round(subjects[side], kind, tasks))
    gc.unfreeze()
    for subject in subjects.values():
        subject.close()
    first, second = (taken[side][WARM_UP:] for side in sides)
    ratios = [after / before for before, after in zip(first, second, strict=True)]
    return Timing(median(first), median(second), *quantiles(ratios, n=4))


def _round(subject: Subject, kind: str, count: int) -> float:
    tasks = subject.prepare(kind, count)
    gc.collect()
    with subject.switched_on():
        start = time.perf_counter()
        subject.run(tasks, kind)
        return (time.perf_counter() - start) / count
