"""What a consumer costs that has nothing to do, bare and with the kit.

``python -m tests.benchmarks.idle`` fills each storage with 300,000 results, then runs an idle
``huey_consumer`` on it without the kit and with it, one after the other. It prints the CPU seconds
a minute that the consumer takes, on Redis also those of the server and its longest command.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from struct import pack
from typing import Any

from tests.servers import postgres_server, redis_server

ROOT = Path(__file__).parents[2]
MOST_SECONDS = 0.5
"""What the kit may add to the CPU seconds of a minute."""
MOST_MS = 5.0
"""How long a command of Redis may take."""

WARM_UP = 15.0
VALUE = b"\x80\x04\x95" + b"x" * 250
_KINDS = {
    "sqlite": 'SqliteHuey("q", filename=PLACE)',
    "file": 'FileHuey("q", path=PLACE)',
    "redis": 'RedisHuey("q", url=PLACE)',
    "redis subclass": 'Huey("q", storage_class=Mine, url=PLACE)',
    "redis-expire": 'RedisExpireHuey("q", url=PLACE)',
    "postgres": 'PostgresHuey("q", dsn=PLACE)',
}
APP = """
import os
from huey import *
from huey.storage import RedisStorage

PLACE = os.environ["PLACE"]

class Mine(RedisStorage):
    def enqueue(self, data, priority=None):
        return super().enqueue(data, priority)

huey = {made}

@huey.task()
@huey.lock_task("held")
def job():
    pass

if os.environ.get("KIT"):
    from huey_signals_kit import install_handlers
    install_handlers(huey, sinks="memory", stale_locks="release")
"""


def main() -> None:
    """Measure the storages named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(_KINDS), help=", ".join(_KINDS))
    parser.add_argument("--results", type=int, default=300_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    print(f"{'storage':16} {'bare':>7} {'kit':>7} {'more':>7}   CPU s/min; Redis: server, longest")
    with ThreadPoolExecutor(len(given.kinds)) as pool:
        measured = pool.map(lambda kind: measure(kind, given.results, given.seconds), given.kinds)
        for kind, line in zip(given.kinds, measured, strict=True):
            print(f"{kind:16} {line}", flush=True)


def measure(kind: str, results: int, seconds: float) -> str:
    """Return the line of one storage."""
    with tempfile.TemporaryDirectory() as folder, _place(kind, folder) as place:
        _FILLED[kind](place, results)
        Path(folder, "app.py").write_text(APP.format(made=_KINDS[kind]))
        bare, kit = (_consumer(kind, folder, place, with_kit, seconds) for with_kit in ("", "1"))
    more = kit["cpu"] - bare["cpu"]
    line = f"{bare['cpu']:7.2f} {kit['cpu']:7.2f} {more:7.2f}"
    if "server" in kit:
        line += f"   {bare['server']:.2f} -> {kit['server']:.2f}, {kit['longest']:.1f} ms"
        line += f" ({kit['command']})"
    return line + (
        "" if more <= MOST_SECONDS and kit.get("longest", 0) <= MOST_MS else "  TOO MUCH"
    )


@contextmanager
def _place(kind: str, folder: str) -> Iterator[str]:
    if kind.startswith("redis"):
        with redis_server() as url:
            yield url
    elif kind == "postgres":
        with postgres_server() as dsn:
            yield dsn
    else:
        yield str(Path(folder, "data" if kind == "file" else "data.db"))


def _consumer(kind: str, folder: str, place: str, kit: str, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "huey.bin.huey_consumer", "app.huey", "-w", "2"]
    environment = {**os.environ, "PLACE": place, "KIT": kit, "PYTHONPATH": f"{folder}:{ROOT}"}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(WARM_UP)
        watch = watch_redis(place) if kind.startswith("redis") else dict
        watch()
        before, began = _cpu(process.pid), time.monotonic()
        time.sleep(seconds)
        minutes = (time.monotonic() - began) / 60
        found = {"cpu": (_cpu(process.pid) - before) / minutes}
        seen = watch()
        if seen:
            found.update(seen, server=seen["server"] / minutes)
        return found
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def watch_redis(url: str) -> Callable[[], dict[str, Any]]:
    """Return a function that returns what the server has done since its last call."""
    import redis

    client = redis.Redis.from_url(url)
    client.config_set("slowlog-log-slower-than", 100)
    client.config_set("slowlog-max-len", 10_000)
    last = [0.0]

    def since() -> dict[str, Any]:
        cpu = client.info("cpu")
        used, before = cpu["used_cpu_user"] + cpu["used_cpu_sys"], last[0]
        last[0] = used
        slow: Any = client.slowlog_get(10_000)
        client.slowlog_reset()
        # Not this script's own.
        theirs = [each for each in slow if b"SLOWLOG" not in each["command"].upper()]
        slowest = max(theirs, key=lambda each: each["duration"], default=None)
        found = {"server": used - before, "longest": 0.0, "command": ""}
        if slowest is not None:
            command = slowest["command"].decode("utf-8", "replace")[:60]
            found.update(longest=slowest["duration"] / 1000, command=command)
        return found

    return since


def _fill_sqlite(place: str, results: int) -> None:
    from huey.storage import SqliteStorage

    storage = SqliteStorage("q", filename=place)
    with storage.db(commit=True) as cursor:
        rows = (("q", key, VALUE) for key in _keys(results))
        cursor.executemany("insert into kv (queue, key, value) values (?, ?, ?)", rows)
    storage.close()


def _fill_files(place: str, results: int) -> None:
    made = set()
    for key in _keys(results):
        name = md5(key.encode()).hexdigest()
        folder = Path(place, "results", name[0], name[1])
        if folder not in made:
            folder.mkdir(parents=True, exist_ok=True)
            made.add(folder)
        Path(folder, name).write_bytes(pack(">I", len(key)) + key.encode() + VALUE)


def _fill_redis(place: str, results: int) -> None:
    import redis

    client = redis.Redis.from_url(place)
    for some in _chunks(results):
        client.hset("huey.results.q", mapping=dict.fromkeys(some, VALUE))


def _fill_redis_keys(place: str, results: int) -> None:
    import redis

    client = redis.Redis.from_url(place)
    for some in _chunks(results):
        client.mset({f"huey.r.q.{key}": VALUE for key in some})


def _fill_postgres(place: str, results: int) -> None:
    from huey.storage import PostgresStorage

    storage = PostgresStorage("q", dsn=place)
    with storage.db(commit=True) as cursor:
        rows = [("q", key, VALUE) for key in _keys(results)]
        cursor.executemany("insert into huey_kv (queue, key, value) values (%s, %s, %s)", rows)
    storage.close()


def _keys(results: int) -> Iterator[str]:
    for number in range(results):
        digits = f"{number:032x}"
        yield f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


def _chunks(results: int) -> Iterator[list[str]]:
    keys = list(_keys(results))
    for start in range(0, len(keys), 10_000):
        yield keys[start : start + 10_000]


_FILLED: dict[str, Callable[[str, int], None]] = {
    "sqlite": _fill_sqlite,
    "file": _fill_files,
    "redis": _fill_redis,
    "redis subclass": _fill_redis,
    "redis-expire": _fill_redis_keys,
    "postgres": _fill_postgres,
}

if __name__ == "__main__":
    main()
