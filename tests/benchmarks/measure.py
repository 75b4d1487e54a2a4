"""The measurements and their targets, run one after the other."""

from __future__ import annotations

import logging
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
from tests.benchmarks.subject import (
    BACKGROUND,
    BARE,
    KIT,
    KIT_OVERRIDDEN,
    MANY,
    NO_LONGER_TRACED,
    OVERRIDDEN,
    ROUTES,
    TRACED,
    WHOLE,
    silence_huey,
)
from tests.benchmarks.table import Row
from tests.servers import NoServer, redis_server


class Aim(NamedTuple):
    """What is compared with what, and the most that the ratio may be."""

    name: str
    kind: str
    target: float
    side: str = KIT
    base: str = BARE


COUNTED = (
    Aim("memory, ordinary", "ordinary", 1.02),
    Aim("memory, failing", "failing", 1.02),
    Aim("memory, failing, 200 handlers of which one matches", "failing", 1.03, MANY),
    Aim("memory, locked", "locked", 0.12),
    Aim("memory, revoked", "revoked", 1.5),
    Aim("memory, locked, own metadata", "locked", 1.05, KIT_OVERRIDDEN, OVERRIDDEN),
    Aim("memory, ordinary, with sinks", "ordinary", 1.06, ROUTES),
    Aim("memory, takes a lock", "taking", 1.04),
    Aim("memory, makes and takes a lock", "entering", 1.04),
    # Nothing is left of it; counts differ by the places of Huey's methods in a cache.
    Aim("memory, ordinary, no longer traced", "ordinary", 1.005, NO_LONGER_TRACED),
)
TIMED = {
    "redis": (
        Aim("redis, ordinary", "ordinary", 1.02),
        Aim("redis, locked", "locked", 0.45),
        Aim("redis, revoked", "revoked", 1.9),
        Aim("redis, ordinary, with sinks", "ordinary", 1.02, ROUTES),
        Aim("redis, ordinary, traced", "ordinary", 1.6, TRACED),
        Aim("redis, enqueued and ordinary, traced", WHOLE, 1.6, TRACED),
        # A handler that takes a second for each event, against the same kit without it.
        Aim("redis, locked, in background", "locked", 1.05, BACKGROUND, KIT),
    ),
    "sqlite": (Aim("sqlite, locked", "locked", 0.18),),
}
BYTES = 0

MakeHuey = Callable[[str], Huey]


class Size(NamedTuple):
    """How much to run: tasks to count instructions of, in how many layouts of classes, and rounds
    of so many tasks to time."""

    few: int
    many: int
    rounds: int
    tasks: int
    layouts: int


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
            rows += [_timed(aim, stores[store], size) for aim in targets]
        rows += [_stored(store, make, size) for store, make in stores.items()]
        # The kits outlive their servers, and would log that they cannot be reached.
        logging.getLogger("huey_signals_kit").disabled = True
        return rows


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
    rows = [Row(aim.name, "instr", aim.target) for aim in COUNTED]
    wanted = {(side, aim.kind) for aim in COUNTED for side in (aim.base, aim.side)}
    try:
        counts = count_instructions(wanted, size.few, size.many, size.layouts)
    except CannotCount as reason:
        return [replace(row, note=f"skipped: {reason}") for row in rows]
    return [
        _compared(row, counts[aim.base, aim.kind], counts[aim.side, aim.kind])
        for row, aim in zip(rows, COUNTED, strict=True)
    ]


def _timed(aim: Aim, make: MakeHuey, size: Size) -> Row:
    row = Row(aim.name, "us", aim.target)
    try:
        timing = interleaved(make, aim.kind, (aim.base, aim.side), size.rounds, size.tasks)
    except NoServer as reason:
        return replace(row, note=f"skipped: {reason}")
    return replace(
        row,
        bare=timing.base * 1e6,
        kit=timing.side * 1e6,
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
