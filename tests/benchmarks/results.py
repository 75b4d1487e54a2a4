"""How quickly a purge cleans unread results: ``python -m tests.benchmarks.results``.

Every value is different, because that is the slow case: a script compares many keys with one value.
The schedule has as many tasks for each number of results, half of which have an old result.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

from huey_signals_kit.upkeep import purge_results
from tests.benchmarks.sweep import (
    lock_watcher,
    open_huey,
    peak,
    put_rows,
    time_transactions,
)
from tests.servers import redis_server

WEEK = 604_800.0


def fill(huey: Any, results: int, scheduled: int, tokens: int) -> None:
    """Results of nobody, a schedule of which every other task has one, and tokens."""

    @huey.task()
    def job(n: int) -> int:
        return n

    serialize = huey.serializer.serialize
    keys = [str(uuid.uuid4()) for _ in range(results)]
    for number in range(scheduled):
        task = job.s(number)
        huey.storage.add_to_schedule(huey.serialize_task(task), datetime(2030, 1, 1))
        if number % 2:
            keys.append(task.id)
    rows = [(key, serialize({"number": n, "text": "done"})) for n, key in enumerate(keys)]
    rows += [(f"r:{uuid.uuid4()}", serialize((None, True))) for _ in range(tokens)]
    put_rows(huey, rows)


def child(kind: str, place: str, offset: float) -> None:
    """One purge in a process of its own, so that its memory is its own."""
    huey = open_huey(kind, place)
    now = time.time() + offset
    held = time_transactions(huey) if kind == "sqlite" else [0.0]
    began = time.process_time()
    with peak() as grown:
        report = purge_results(huey, clock=lambda: now)
    used, speed = time.process_time() - began, report.results / report.seconds
    print(
        f"{report.seconds:.2f} s, of which {used:.2f} s on the processor, {speed:,.0f}/s; "
        f"live {report.live}, new {report.new}, deleted {report.deleted}, "
        f"undecided {report.undecided}; memory +{grown[0] / 1e6:.0f} MB; "
        f"lock held {held[0] * 1000:.0f} ms at most"
    )


def measure(kind: str, place: str, results: int, scheduled: int, tokens: int) -> None:
    """Both purges, and what other users of the storage had to wait."""
    huey = open_huey(kind, place)
    began = time.perf_counter()
    fill(huey, results, scheduled, tokens)
    print(
        f"{kind}, {results:,} results (filled in {time.perf_counter() - began:.0f} s)", flush=True
    )
    conn = None if kind == "sqlite" else huey.storage.conn
    if conn is not None:
        conn.config_set("slowlog-log-slower-than", 1000)
        conn.config_set("slowlog-max-len", 100_000)
    for name, offset in (("first", 0.0), ("second", WEEK + 60)):
        waited, stop = [0.0], threading.Event()
        watcher = threading.Thread(target=lock_watcher, args=(place, stop, waited))
        if conn is not None:
            conn.slowlog_reset()
        else:
            watcher.start()
        command = [sys.executable, "-m", "tests.benchmarks.results", "child", kind, place]
        out = subprocess.run([*command, str(offset)], capture_output=True, text=True, check=True)
        stop.set()
        if conn is not None:
            slow = conn.slowlog_get(1000)
            worst = max(slow, key=lambda each: each["duration"], default=None)
            text = "below 1 ms" if worst is None else f"{worst['duration'] / 1000:.1f} ms"
            wait = f"slowest command {text} {b'' if worst is None else worst['command'][:50]!r}"
        else:
            watcher.join()
            wait = f"others waited {waited[0] * 1000:.0f} ms"
        print(f"  {name}: {out.stdout.strip()}; {wait}", flush=True)


def main() -> None:
    """All of it, or what is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=["redis", "redis-expire", "sqlite"])
    parser.add_argument("--results", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--scheduled", type=int, default=20_000)
    parser.add_argument("--tokens", type=int, default=5_000)
    options = parser.parse_args()
    for kind in options.kinds:
        for results in options.results:
            with contextlib.ExitStack() as stack:
                if kind == "sqlite":
                    folder = stack.enter_context(tempfile.TemporaryDirectory())
                    place = str(Path(folder, "bench.db"))
                else:
                    place = stack.enter_context(redis_server())
                measure(kind, place, results, options.scheduled, options.tokens)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], sys.argv[3], float(sys.argv[4]))
    else:
        main()
