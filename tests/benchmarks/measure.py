"""The measurements and their targets, run one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from huey import MemoryHuey, RedisHuey, SqliteHuey
from huey.api import Huey

from tests.benchmarks.instructions import CannotCount, count_instructions
from tests.benchmarks.rounds import interleaved
from tests.benchmarks.stored import stored_per_skip
from tests.benchmarks.subject import BARE, KIT, silence_huey
from tests.benchmarks.table import Row
from tests.servers import NoServer, redis_server

COUNTED = {"ordinary": 1.02, "locked": 0.12}
TIMED = {
    "redis": {"ordinary": 1.02, "locked": 0.45, "revoked": 1.9},
    "sqlite": {"locked": 0.18},
}
BYTES = 0

MakeHuey = Callable[[str], Huey]


class Size(NamedTuple):
    """How much to run: tasks to count instructions of, and rounds of so many tasks to time."""

    few: int
    many: int
    rounds: int
    tasks: int


def measure(size: Size) -> list[Row]:
    """Every row; of what cannot be measured here the note says why."""
    silence_huey()
    _stay_on_one_processor()
    with TemporaryDirectory(prefix="benchmarks-") as folder, ExitStack() as servers:
        stores = {
            "redis": _redis(servers),
            "sqlite": lambda name: SqliteHuey(name, filename=f"{folder}/{name}.db"),
            "memory": MemoryHuey,
        }
        rows = _counted(size)
        for store, targets in TIMED.items():
            rows += [_timed(store, stores[store], kind, at, size) for kind, at in targets.items()]
        return rows + [_stored(store, make, size) for store, make in stores.items()]


def _stay_on_one_processor() -> None:
    # With Redis on another one, waking that up takes most of a round trip and varies threefold.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _redis(servers: ExitStack) -> MakeHuey:
    try:
        url = servers.enter_context(redis_server())
    except NoServer as reason:
        missing = reason
    else:
        return lambda name: RedisHuey(name, url=url)

    def refuse(name: str) -> Huey:
        raise missing

    return refuse


def _counted(size: Size) -> list[Row]:
    rows = [Row(f"memory, {kind}", "instr", target) for kind, target in COUNTED.items()]
    try:
        counts = count_instructions(list(COUNTED), size.few, size.many)
    except CannotCount as reason:
        return [replace(row, note=f"skipped: {reason}") for row in rows]
    return [
        _compared(row, counts[BARE, kind], counts[KIT, kind])
        for row, kind in zip(rows, COUNTED, strict=True)
    ]


def _timed(store: str, make: MakeHuey, kind: str, target: float, size: Size) -> Row:
    row = Row(f"{store}, {kind}", "us", target)
    try:
        timing = interleaved(make, kind, size.rounds, size.tasks)
    except NoServer as reason:
        return replace(row, note=f"skipped: {reason}")
    return replace(
        row,
        bare=timing.bare * 1e6,
        kit=timing.kit * 1e6,
        ratio=timing.ratio,
        note=f"ratio of the middle half of the rounds: {timing.low:.3f} - {timing.high:.3f}",
    )


def _stored(store: str, make: MakeHuey, size: Size) -> Row:
    row = Row(f"{store}, stored by a lock skip", "bytes", BYTES)
    try:
        stored = stored_per_skip(make, size.tasks)
    except NoServer as reason:
        return replace(row, note=f"skipped: {reason}")
    return _compared(row, [stored[BARE]], [stored[KIT]])


def _compared(row: Row, bare: list[float], kit: list[float]) -> Row:
    ratios = [after / before for before, after in zip(bare, kit, strict=True)]
    return replace(row, bare=median(bare), kit=median(kit), ratio=median(ratios))
