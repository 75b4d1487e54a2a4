"""Instructions per task on MemoryHuey, counted by callgrind.

One Python runs under valgrind and forks a child for every side and kind of task, so that no
child runs on bytecode which another has specialised. A child executes few tasks, then many;
each time callgrind dumps its counter before and after. The difference of both counts, by the
difference in tasks, is the count of one task: whatever happens once per run cancels out.

The same run gives the same count, but any edit anywhere moves it by up to half a percent:
which of Huey's methods share a place in Python's method cache is chance. So there are several
children of each kind, with their classes moved, and the medians count.
"""

from __future__ import annotations

import gc
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from pathlib import Path

from huey import MemoryHuey
from huey.api import Huey
from huey.storage import BaseStorage

from huey_signals_kit.runtime.scheduler import scheduler
from tests.benchmarks.subject import Subject, silence_huey

ROOT = Path(__file__).resolve().parents[2]
DUMPS = 4  # before and after few tasks, before and after many

LAYOUTS = 3

Counts = dict[tuple[str, str], list[float]]


class CannotCount(Exception):
    """There is no callgrind here, or it does not do what it should."""


def count_instructions(
    wanted: set[tuple[str, str]], few: int, many: int, layouts: int = LAYOUTS
) -> Counts:
    """Instructions per task by side and kind, for those *wanted*: one figure for each layout."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise CannotCount("no valgrind: apt install valgrind")
    with tempfile.TemporaryDirectory(prefix="callgrind-") as folder:
        options = ["--dump-before=getpgrp", f"--callgrind-out-file={folder}/out.%p"]
        child = ["-m", "tests.benchmarks.instructions", str(few), str(many), str(layouts)]
        child += [f"{side}:{kind}" for side, kind in sorted(wanted)]
        ended = subprocess.run(
            [valgrind, "--tool=callgrind", *options, sys.executable, *child],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        if ended.returncode:
            raise CannotCount(f"valgrind ended with {ended.returncode}:\n{ended.stderr[-2000:]}")
        counts: Counts = {}
        for side, kind, pid in map(str.split, ended.stdout.splitlines()):
            counts.setdefault((side, kind), []).append(_per_task(Path(folder), pid, many - few))
        return counts


def _per_task(folder: Path, pid: str, tasks: int) -> float:
    dumps = [folder / f"out.{pid}.{number}" for number in range(1, DUMPS + 1)]
    if not all(dump.exists() for dump in dumps):
        raise CannotCount("callgrind saw no call of getpgrp")
    _, few, _, many = map(_total, dumps)
    return (many - few) / tasks


def _total(dump: Path) -> int:
    with dump.open() as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("totals:"))


def _child(side: str, kind: str, few: int, many: int) -> None:
    # What the tick does once a second is not a task's, and under valgrind a second is over after
    # a few tasks; what it does for each task, adding up, is done below.
    scheduler.thread = threading.current_thread()
    subject = Subject(MemoryHuey("benchmark"), side)
    gc.disable()
    subject.run(subject.prepare(kind, few))
    gc.collect()
    gc.freeze()
    for count in (few, many):
        tasks = subject.prepare(kind, count)
        gc.collect()
        os.getpgrp()
        subject.run(tasks, kind)
        subject.add_up()
        gc.collect()
        os.getpgrp()


def _move_classes(layout: int) -> None:
    # A class is cached under its version; a change gives it a new one, each lookup here uses one.
    for _ in range(37 * layout):
        repr(type("Unused", (), {})())
    for cls in (Huey, BaseStorage):
        cls._moved = True
        del cls._moved


def _main(few: int, many: int, layouts: int, wanted: list[str]) -> None:
    silence_huey()
    ids = random.Random(0)
    uuid.uuid4 = lambda: uuid.UUID(int=ids.getrandbits(128), version=4)
    for layout, side, kind in (
        (layout, *each.split(":")) for layout in range(layouts) for each in wanted
    ):
        pid = os.fork()
        if pid == 0:
            _move_classes(layout)
            _child(side, kind, few, many)
            os._exit(0)
        if os.waitpid(pid, 0)[1]:
            sys.exit(f"the child for {side} {kind} failed")
        print(side, kind, pid, flush=True)


if __name__ == "__main__":
    _main(*map(int, sys.argv[1:4]), sys.argv[4:])
