"""How quickly a sweep cleans a store full of leaked tokens: ``python -m tests.benchmarks.sweep``.

The schedule has as many tasks for each number of tokens, half of which own one. Plain is what
anybody would write with Huey's public calls: ``all_results``, ``scheduled``, ``restore_by_id``;
it is stopped after some thousands and its speed taken from these.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huey import RedisExpireHuey, RedisHuey, SqliteHuey

from huey_signals_kit.upkeep import sweep_tokens
from tests.servers import redis_server

DAY = 86_400.0
PLAIN_AT_MOST = 5_000


def fill(huey: Any, tokens: int, scheduled: int, results: int) -> None:
    """Tokens of nobody, a schedule of which every other task owns a token, and results."""

    @huey.task()
    def job(n: int) -> int:
        return n

    token = huey.serializer.serialize((None, True))
    keys = [f"r:{uuid.uuid4()}" for _ in range(tokens)]
    for number in range(scheduled):
        task = job.s(number)
        huey.storage.add_to_schedule(huey.serialize_task(task), _far())
        if number % 2:
            keys.append(task.revoke_id)
    rows = [(key, token) for key in keys]
    rows += [(str(uuid.uuid4()), huey.serializer.serialize(n)) for n in range(results)]
    put_rows(huey, rows)


def _far() -> Any:
    from datetime import datetime

    return datetime(2030, 1, 1)


def put_rows(huey: Any, rows: list[tuple[str, bytes]]) -> None:
    """Write keys and values faster than Huey does."""
    storage = huey.storage
    if isinstance(huey, SqliteHuey):
        with storage.db(commit=True) as cursor:
            cursor.executemany(
                "insert into kv (queue, key, value) values (?, ?, ?)",
                [(storage.name, *row) for row in rows],
            )
        return
    for start in range(0, len(rows), 5000):
        pipe = storage.conn.pipeline(transaction=False)
        for key, value in rows[start : start + 5000]:
            if isinstance(huey, RedisExpireHuey):
                pipe.set(storage.result_key(key), value)
            else:
                pipe.hset(storage.result_key, key, value)
        pipe.execute()


def plain(huey: Any) -> float:
    """Tokens a second by Huey's public calls."""
    began = time.perf_counter()
    live = {task.revoke_id for task in huey.scheduled()}
    found = [_text(key) for key in huey.all_results()]
    orphans = [key for key in found if key.startswith("r:") and key not in live]
    reading = time.perf_counter() - began
    some = orphans[:PLAIN_AT_MOST]
    began = time.perf_counter()
    for key in some:
        huey.restore_by_id(key[2:])
    each = (time.perf_counter() - began) / len(some)
    return len(orphans) / (reading + each * len(orphans))


def _text(key: Any) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)


def memory_now() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@contextlib.contextmanager
def peak() -> Iterator[list[int]]:
    """How much the memory of this process grows at most, in bytes."""
    start, grown, stop = memory_now(), [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.005):
            grown[0] = max(grown[0], memory_now() - start)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield grown
    finally:
        stop.set()
        thread.join()


def lock_watcher(path: str, stop: threading.Event, worst: list[float]) -> None:
    """How long somebody else waits to write to the file at most."""
    import sqlite3

    conn = sqlite3.connect(path, timeout=30, isolation_level=None)
    conn.execute("create table if not exists watched (n)")
    while not stop.wait(0.002):
        began = time.perf_counter()
        conn.execute("begin immediate")
        conn.execute("rollback")
        worst[0] = max(worst[0], time.perf_counter() - began)
    conn.close()


def time_transactions(huey: Any) -> list[float]:
    """How long this process holds the lock for writing at most."""
    longest, db = [0.0], huey.storage.db

    @contextlib.contextmanager
    def timed(commit: bool = False, close: bool = False) -> Iterator[Any]:
        began = 0.0
        with db(commit=commit, close=close) as cursor:
            began = time.perf_counter()
            yield cursor
        if commit:
            longest[0] = max(longest[0], time.perf_counter() - began)

    huey.storage.db = timed
    return longest


def child(kind: str, place: str, offset: float) -> None:
    """One sweep in a process of its own, so that its memory is its own."""
    huey = open_huey(kind, place)
    now = time.time() + offset
    held = time_transactions(huey) if kind == "sqlite" else [0.0]
    with peak() as grown:
        report = sweep_tokens(huey, clock=lambda: now)
    print(
        report.scanned,
        report.live,
        report.marked,
        report.deleted,
        report.seconds,
        grown[0],
        held[0],
    )


def open_huey(kind: str, place: str) -> Any:
    """The queue of one benchmark."""
    if kind == "sqlite":
        return SqliteHuey("bench", filename=place)
    make = RedisExpireHuey if kind == "redis-expire" else RedisHuey
    return make("bench", url=place, blocking=False)


def measure(kind: str, place: str, tokens: int, scheduled: int, results: int) -> None:
    """Both sweeps and the plain way, and what other users of the storage had to wait."""
    huey = open_huey(kind, place)
    began = time.perf_counter()
    fill(huey, tokens, scheduled, results)
    print(f"{kind}, {tokens:,} tokens (filled in {time.perf_counter() - began:.0f} s)", flush=True)
    conn = getattr(huey.storage, "conn", None) if kind != "sqlite" else None
    if conn is not None:
        conn.config_set("slowlog-log-slower-than", 2000)
        conn.config_set("slowlog-max-len", 100_000)
    by_hand: list[float] = []
    for name, offset in (("first", 0.0), ("second", DAY + 60)):
        by_hand.append(plain(huey))
        waited = [0.0]
        stop = threading.Event()
        watcher = threading.Thread(target=lock_watcher, args=(place, stop, waited))
        if conn is not None:
            conn.slowlog_reset()
        else:
            watcher.start()
        command = [sys.executable, "-m", "tests.benchmarks.sweep", "child", kind, place]
        out = subprocess.run([*command, str(offset)], capture_output=True, text=True, check=True)
        stop.set()
        scanned, live, marked, deleted, seconds, grown, held = out.stdout.split()
        if conn is not None:
            slow = conn.slowlog_get(1000)
            worst = max((each["duration"] for each in slow), default=0) / 1000
            what = max(slow, key=lambda each: each["duration"])["command"][:60] if slow else b""
            wait = f"slowest command {worst:.1f} ms {what!r}"
        else:
            watcher.join()
            wait = f"lock held {float(held) * 1000:.0f} ms at most"
            wait += f", others waited {waited[0] * 1000:.0f} ms"
        print(
            f"  {name}: {float(seconds):.2f} s, {int(scanned) / float(seconds):,.0f}/s scanned; "
            f"live {live}, marked {marked}, deleted {deleted}; "
            f"memory +{int(grown) / 1e6:.0f} MB; {wait}",
            flush=True,
        )
    cleaned = int(deleted) / float(seconds)
    more = [f"r:{uuid.uuid4()}" for _ in range(tokens)]
    put_rows(huey, [(key, huey.serializer.serialize((None, True))) for key in more])
    by_hand.append(plain(huey))
    plainly = statistics.mean(by_hand)
    print(
        f"  cleaned a second: {cleaned:,.0f}; plainly {plainly:,.0f} "
        f"({', '.join(f'{each:,.0f}' for each in by_hand)}): {cleaned / plainly:.1f} times as many",
        flush=True,
    )


def main() -> None:
    """All of it, or what is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=["redis", "redis-expire", "sqlite"])
    parser.add_argument("--tokens", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--scheduled", type=int, default=20_000)
    parser.add_argument("--results", type=int, default=5_000)
    options = parser.parse_args()
    for kind in options.kinds:
        for tokens in options.tokens:
            with contextlib.ExitStack() as stack:
                if kind == "sqlite":
                    folder = stack.enter_context(tempfile.TemporaryDirectory())
                    place = str(Path(folder, "bench.db"))
                else:
                    place = stack.enter_context(redis_server())
                measure(kind, place, tokens, options.scheduled, options.results)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], sys.argv[3], float(sys.argv[4]))
    else:
        main()
