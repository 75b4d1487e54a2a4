"""How quickly the web page answers on a store of a million keys, and what it costs the storage.

``python -m tests.benchmarks.page`` fills Redis and SQLite with results, revoke tokens and stored
errors, runs a consumer and ``huey-signals web``, and has 20 clients read the pages in turn. It
prints the 95th percentile of each page, the memory of the server, and Redis' longest command.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from huey_signals_kit.web._pages import PAGES
from tests.benchmarks.idle import ROOT, _fill_redis, _fill_sqlite, _place, watch_redis
from tests.support import give_children_default_signals

LIMIT_MS, LIMIT_COMMAND_MS, LIMIT_MB = 300.0, 10.0, 150.0
CLIENTS = 20
_QUERIES = {
    "lock": "?name=lock-001",
    "task": "?name=app.busy",
    "act/release": "?name=lock-001",
    "act/delete-token": "?key=r:00000000-0000-0000-0000-000000000001",
    **dict.fromkeys(
        ("act/revoke", "act/restore", "act/pause", "act/resume", "act/run-now"), "?name=app.busy"
    ),
    "act/run-again": "?id=00000000-0000-0000-0000-000000000001",
}
_MADE = {
    "redis": 'RedisHuey("q", url=PLACE)',
    "sqlite": 'SqliteHuey("q", filename=PLACE)',
}
APP = """
import os, time
from huey import *
from huey_signals_kit import install_handlers

PLACE = os.environ["PLACE"]
huey = {made}
install_handlers(huey, preset="quiet-locks")

@huey.task()
def busy(number):
    with huey.lock_task("busy"):
        time.sleep(0.05)
"""
FILL = """
import sys, uuid
from datetime import datetime
from app import busy, huey
from huey.utils import Error

def rows(keys):
    serialize = huey.serializer.serialize
    token, text = serialize((None, True)), "TaskLockedException('unable to acquire lock')"
    error = Error({"error": text, "retries": 0, "traceback": "x" * 500, "task_id": "x"})
    error = serialize(error)
    for number in range(keys):
        yield "r:" + str(uuid.UUID(int=number)), token
        yield str(uuid.UUID(int=number + 2**64)), error

def put(rows):
    if hasattr(huey.storage, "result_key"):
        huey.storage.conn.hset(huey.storage.result_key, mapping=dict(rows))
    else:
        with huey.storage.db(commit=True) as cursor:
            named = [("q", *row) for row in rows]
            cursor.executemany("insert into kv (queue, key, value) values (?, ?, ?)", named)

chunk = []
for row in rows(int(sys.argv[1])):
    chunk.append(row)
    if len(chunk) == 10_000:
        put(chunk)
        chunk.clear()
for number in range(200):
    huey.lock_task("lock-%03d" % number).__enter__()
for number in range(1000):
    busy.schedule((number,), eta=datetime(2030, 1, 1))
"""


def main() -> None:
    """Measure the storages named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(_MADE), help=", ".join(_MADE))
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pause", type=float, default=1.0, help="of a client between two requests")
    given = parser.parse_args()
    give_children_default_signals()  # they are ended by SIGINT, which a background job ignores
    for kind in given.kinds:
        measure(kind, given.keys, given.seconds, given.pause)


def measure(kind: str, keys: int, seconds: float, pause: float) -> None:
    """Print the figures of one storage."""
    with tempfile.TemporaryDirectory() as folder, _place(kind, folder) as place:
        Path(folder, "app.py").write_text(APP.format(made=_MADE[kind]))
        environment = {**os.environ, "PLACE": place, "PYTHONPATH": f"{folder}:{ROOT}"}
        {"redis": _fill_redis, "sqlite": _fill_sqlite}[kind](place, keys * 6 // 10)
        fill = [sys.executable, "-c", FILL, str(keys * 2 // 10)]
        subprocess.run(fill, cwd=folder, env=environment, check=True)
        consumer = [sys.executable, "-m", "huey.bin.huey_consumer", "app.huey", "-w", "4"]
        with _running(consumer, folder, environment), _page(folder, environment) as (server, port):
            subprocess.run(
                [sys.executable, "-c", "import app\nfor n in range(3000): app.busy(n)"],
                cwd=folder,
                env=environment,
                check=True,
            )
            watch = watch_redis(place) if kind == "redis" else dict
            watch()
            times = _poll(port, seconds, pause)
            seen = watch()
            print(f"{kind}, {keys:,} keys, {CLIENTS} clients for {seconds:g} s")
            for path in sorted(times):
                took = sorted(times[path])
                p95 = took[int(len(took) * 0.95)]
                print(
                    f"  {path:22} {len(took):5} requests, median {statistics.median(took):6.1f} ms,"
                    f" p95 {p95:6.1f} ms, longest {took[-1]:6.1f} ms"
                    + ("" if p95 <= LIMIT_MS else "  TOO MUCH")
                )
            memory = _peak_mb(server.pid)
            print(f"  server {memory:.0f} MB" + ("" if memory <= LIMIT_MB else "  TOO MUCH"))
            if seen:
                too_much = "" if seen["longest"] <= LIMIT_COMMAND_MS else "  TOO MUCH"
                print(f"  longest command {seen['longest']:.1f} ms{too_much}: {seen['command']}")


@contextmanager
def _running(
    command: list[str], folder: str, environment: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if "web" in command else subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


@contextmanager
def _page(folder: str, environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [
        sys.executable,
        "-m",
        "huey_signals_kit",
        "web",
        "app.huey",
        "--port",
        "0",
        "--allow-acts",
    ]
    with _running(command, folder, environment) as process:
        assert process.stderr is not None
        found = re.search(r":(\d+)/", process.stderr.readline())
        assert found is not None
        yield process, int(found[1])


def _poll(port: int, seconds: float, pause: float) -> dict[str, list[float]]:
    """Return the milliseconds of each request by page."""
    paths = ["/healthz"]
    for name in PAGES:
        query = _QUERIES.get(name, "")
        paths += [f"/{name}{query}", f"/{name}.json{query}"]
    times: dict[str, list[float]] = defaultdict(list)
    until = time.monotonic() + seconds

    def client(first: int) -> None:
        number = first
        while time.monotonic() < until:
            path = paths[number % len(paths)]
            began = time.monotonic()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", quote(path, safe="/?=."))
            answer = connection.getresponse()
            answer.read()
            connection.close()
            times[f"{path.partition('?')[0]} {answer.status}"].append(
                (time.monotonic() - began) * 1000
            )
            number += 1
            time.sleep(pause)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    return times


def _peak_mb(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
