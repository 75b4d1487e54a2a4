"""What a scrape of ``huey-signals export`` weighs and takes.

``python -m tests.benchmarks.scrape`` fills a Redis with the counters of 1,000 tasks, as many
messages in the queue and in the schedule, and 100 held locks; then it scrapes the command with and
without counters, and prints the size, the number of series and the time of a scrape.
"""

from __future__ import annotations

import argparse
import gzip
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from huey import RedisHuey

from huey_signals_kit.inflight.tasks import RunningTask
from huey_signals_kit.ledger import Heartbeat, open_ledger
from huey_signals_kit.locks.holder import HolderEncoder
from huey_signals_kit.metrics.values import Durations, Totals
from huey_signals_kit.runtime.process_id import this_process
from tests.benchmarks.idle import ROOT, watch_redis
from tests.servers import redis_server

SCRAPES = 50
APP = "from huey import RedisHuey\nhuey = RedisHuey('q', url={url!r})\n"
SIGNALS = ("enqueued", "executing", "complete", "error", "locked", "retrying")


def main() -> None:
    """Fill a Redis, scrape it, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--locks", type=int, default=100)
    given = parser.parse_args()
    with redis_server() as url, tempfile.TemporaryDirectory() as folder:
        Path(folder, "app.py").write_text(APP.format(url=url))
        _fill(RedisHuey("q", url=url), given.tasks, given.locks)
        print(f"{given.tasks:,} tasks, {given.locks} locks: {SCRAPES} scrapes of Redis")
        print(
            f"{'':14} {'series':>7} {'kB':>7} {'gzip kB':>7} {'median':>9} {'longest':>9}   Redis"
        )
        for options in ([], ["--no-counters"]):
            print(f"{' '.join(options) or 'all':14} {_measure(folder, url, options)}", flush=True)


def _fill(huey: Any, tasks: int, locks: int) -> None:
    job, far = huey.task(name="job")(lambda: None), datetime.now() + timedelta(days=1)
    for _ in range(tasks):
        job()
        huey.add_schedule(job.s(eta=far))
    names = [f"shop.tasks.task_{number:04}" for number in range(tasks)]
    counters: Totals = {
        ("huey_signals_total", "q", name, each): 7 for name in names for each in SIGNALS
    }
    counters |= {
        ("huey_task_duration_seconds", "q", name): Durations(7, 1.5, (7, *[0] * 13))
        for name in names
    }
    lock_names = tuple(f"import:{number:03}" for number in range(locks))
    encoder = HolderEncoder()
    encoder.set_has_heartbeat(True)
    for name in lock_names:
        huey.put_if_empty(f"q.lock.{name}", huey.serializer.deserialize(_value(encoder, huey)))
    running = tuple(RunningTask(name, name, time.time()) for name in names[:locks])
    open_ledger(huey).write(
        Heartbeat("one", this_process(), "thread", time.time(), 1, running, locks=lock_names)
    )
    open_ledger(huey).write(Heartbeat("two", this_process(), "process", counters=counters))


def _value(encoder: HolderEncoder, huey: Any) -> bytes:
    return encoder.encode(None, huey.serializer)


def _measure(folder: str, url: str, options: list[str]) -> str:
    with _export(folder, options) as address:
        watch = watch_redis(url)
        watch()
        texts, seconds = [], []
        for _ in range(SCRAPES):
            began = time.perf_counter()
            with urllib.request.urlopen(address, timeout=30) as answer:
                texts.append(answer.read())
            seconds.append(time.perf_counter() - began)
        seen = watch()
    text = texts[-1]
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    sizes = f"{series:7,} {len(text) / 1000:7.0f} {len(gzip.compress(text)) / 1000:7.0f}"
    times = f"{statistics.median(seconds) * 1000:6.0f} ms {max(seconds) * 1000:6.0f} ms"
    server = f"{seen['server'] / SCRAPES * 1000:.1f} ms, longest {seen['longest']:.1f} ms"
    return f"{sizes} {times}   {server} ({seen['command']})"


@contextmanager
def _export(folder: str, options: list[str]) -> Iterator[str]:
    """Run the command; yield the address that it serves."""
    command = [sys.executable, "-m", "huey_signals_kit", "export", "app.huey", "--port", "0"]
    process = subprocess.Popen(
        [*command, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        yield process.stderr.readline().split()[1].rstrip(";")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


if __name__ == "__main__":
    main()
