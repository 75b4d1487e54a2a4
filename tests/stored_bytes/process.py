"""Processes that write one queue's store, and that read it; each runs with any version of the kit.

``python process.py write KIND LOCATION NAME FOLDER`` stores a value of each form that the package
writes, then prints the raw content of the store and ends like a killed process.
``python process.py read KIND LOCATION NAME`` prints what each command of the command line says of
the store. ``PYTHONPATH`` names the checkout whose package is used.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import types
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

HOST = "writer-host"
LASTING = 315_000_000  # nearly ten years, the longest time that an error may be kept
DELAY = 300.0
COMMANDS = (
    "report app.huey --json",
    "locks list app.huey --json",
    "explain app.huey {running} --json",
    "explain app.huey {kept} --json",
    "explain app.huey {waiting} --json",
    "tokens list app.huey --json",
    "tokens show app.huey {token} --json",
    "tokens delete app.huey {token} --json",
    "top app.huey --json",
    "export app.huey --once --json",
    "export app.huey --once",
    "purge app.huey --json",
)
"""Commands that print at once what is stored."""
WITHOUT_PROCESSES = (
    "explain app.huey {token} --json",
    "health app.huey --json",
    "sweep app.huey --json",
    "locks release app.huey bare --json",
    "locks release app.huey --stale --json",
    "forget app.huey --json",
)
"""Commands that wait for silent processes and holders of locks, if there are any."""


class Cell(NamedTuple):
    """One raw value of a store."""

    where: str
    """A table, a Redis type or ``file``."""
    names: tuple[str, ...]
    """Queue and key; Redis key and field; the path."""
    value: bytes
    number: float | None = None
    """A time in the schedule, a score, or the milliseconds that a Redis key still has."""


def encode(cells: list[Cell]) -> list[Any]:
    """Return the cells as JSON can say them."""
    return [[c.where, c.names, base64.b64encode(c.value).decode(), c.number] for c in cells]


def decode(cells: list[Any]) -> list[Cell]:
    """Return what `encode` was given."""
    return [Cell(w, tuple(names), base64.b64decode(v), number) for w, names, v, number in cells]


def dump(huey: Any, location: str) -> list[Cell]:
    """Return every value of the store, read without the kit and without Huey."""
    if hasattr(huey.storage, "filename"):
        return sorted(_dump_sqlite(location))
    if hasattr(huey.storage, "conn"):
        return sorted(_dump_redis(huey.storage.conn, huey.name))
    return _dump_folder(location)


def _dump_sqlite(location: str) -> Any:
    with contextlib.closing(sqlite3.connect(location)) as db:
        for queue, key, value in db.execute("select queue, key, value from kv"):
            yield Cell("kv", (queue, key), bytes(value))
        for queue, value, at in db.execute("select queue, data, timestamp from schedule"):
            yield Cell("schedule", (queue,), bytes(value), at)


def _dump_redis(conn: Any, name: str) -> Any:
    for key in conn.scan_iter(match=f"*{name}*"):
        kind, plain = conn.type(key).decode(), key.decode("latin-1")
        if kind == "hash":
            for field, value in conn.hgetall(key).items():
                yield Cell(kind, (plain, field.decode("latin-1")), value)
        elif kind == "zset":
            for member, score in conn.zrange(key, 0, -1, withscores=True):
                yield Cell(kind, (plain,), member, score)
        elif kind == "string":
            left = conn.pttl(key)
            yield Cell(kind, (plain,), conn.get(key), left if left > 0 else None)


def _dump_folder(location: str | Path) -> list[Cell]:
    top, cells = Path(location), []
    for path in sorted(top.rglob("*")):
        if path.suffix == ".new":  # being written, or of a process that was killed meanwhile
            continue
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            cells.append(Cell("file", (str(path.relative_to(top)),), path.read_bytes()))
    return [cell for cell in cells if cell.value]  # without the file of a lock


def load(huey: Any, location: str, cells: list[Cell]) -> None:
    """Write the cells as they are; Redis keys that expire do so in ten minutes."""
    conn = getattr(huey.storage, "conn", None)
    for where, names, value, number in cells:
        raw = [name.encode("latin-1") for name in names]
        if where == "file":
            path = Path(location, *names)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(value)
        elif where == "kv":
            huey.storage.sql("insert or replace into kv values (?, ?, ?)", (*names, value), True)
        elif where == "schedule":
            values = (*names, value, number)
            statement = "insert into schedule (queue, data, timestamp) values (?, ?, ?)"
            huey.storage.sql(statement, values, True)
        elif where == "hash":
            conn.hset(*raw, value)
        elif where == "zset":
            conn.zadd(*raw, {value: number})
        else:
            conn.set(*raw, value, ex=None if number is None else 600)


def is_of_process(cell: Cell) -> bool:
    """Return whether it is a record of a process, its sign of life or a lock that it holds."""
    inside = cell.value[:40] if cell.where == "file" else b""  # a file begins with the key
    said = " ".join(cell.names).encode("latin-1") + inside
    return any(each in said + cell.value for each in (b"process:", b"alive:", b"held, says"))


def declare(huey: Any, begun: threading.Event | None = None) -> Any:
    """Declare the tasks of a queue, as ``jobs.<name>``."""

    def task(name: str, lock: str = "held", **options: Any) -> Any:
        def guarded() -> None:
            with huey.lock_task(lock):
                if begun is not None:
                    begun.set()
                    threading.Event().wait()

        guarded.__module__ = "jobs"
        return huey.task(name=name, **options)(guarded)

    def fails() -> None:
        raise ValueError("no")

    def done(*_: Any) -> int:
        return 1

    fails.__module__ = done.__module__ = "jobs"
    return types.SimpleNamespace(
        long=task("long"),
        kept=task("kept", lock_errors="keep"),
        small=task("small", lock_errors=120),
        lasting=task("lasting", lock_errors=LASTING),
        waits=task("waits"),
        fails=huey.task(name="fails")(fails),
        done=huey.task(name="done")(done),
    )


def _open(kind: str, location: str, name: str) -> Any:
    from tests.support import Place

    return Place(kind, location, name).open()


def _run_queue(huey: Any) -> None:
    while (task := huey.dequeue()) is not None:
        huey.execute(task)


def write(kind: str, location: str, name: str, folder: str) -> None:
    """Store everything as two processes do, one of which has ended."""
    from huey.exceptions import TaskException
    from prometheus_client import CollectorRegistry

    import huey_signals_kit
    from huey_signals_kit.sinks.prometheus import PrometheusSink

    plain = _open(kind, location, name)
    own = declare(plain)
    plain.lock_task("bare").__enter__()
    with plain.lock_task("held"):
        own.kept()
        _run_queue(plain)

    arguments = [sys.executable, __file__, "end", kind, location, name, folder]
    subprocess.run(arguments, check=True)
    huey, begun = _open(kind, location, name), threading.Event()
    sys.modules["__main__"].huey = huey  # type: ignore[attr-defined]
    sink = PrometheusSink(CollectorRegistry(), Path(folder, "totals"))
    preset = ["observe", "tidy-tokens"]
    kit = huey_signals_kit.install_handlers(huey, preset=preset, sinks=[sink])
    tasks = declare(huey, begun)
    kit.on("complete", name="broken")(lambda event: 1 / 0)
    huey.lock_task("outside").__enter__()
    in_hand = tasks.done()
    mine = huey.dequeue()
    running = tasks.long.s()
    huey.enqueue(running.then(tasks.done))
    consumer = huey.create_consumer(workers=2, worker_type="greenlet", periodic=False)
    consumer.start()
    begun.wait(60)
    kept, lasting = tasks.kept(), tasks.lasting()
    revoked = tasks.done.s()
    huey.revoke_by_id(revoked.id)
    huey.enqueue(revoked)
    tasks.fails(), tasks.done()
    orphan, waiting = str(uuid4()), tasks.done.schedule(delay=1e8)
    huey.revoke_by_id(orphan)
    kit.sweep_tokens()
    huey.lock_task("cleared").clear()
    kit.release_stale_locks()
    ids = {"running": running.id, "kept": kept.id, "waiting": waiting.id, "token": orphan}
    notes = {**ids, "lasting": lasting.id, "in_hand": in_hand.id, "pid": os.getpid()}
    for result in (kept, lasting):
        with contextlib.suppress(TaskException):
            result.get(blocking=True, timeout=60, preserve=True)
    deadline = time.monotonic() + 60
    while missing := _missing(cells := dump(huey, location), folder):
        if time.monotonic() > deadline:
            print(f"waited in vain for {missing}", file=sys.stderr, flush=True)
            os._exit(1)  # the worker never ends
        time.sleep(0.1)
    files = {part: _dump_folder(Path(folder, part)) for part in ("run", "totals")}
    content = {part: encode(found) for part, found in {"store": cells, **files}.items()}
    print(json.dumps({**content, "notes": notes}), flush=True)
    assert mine
    os._exit(0)


def _missing(cells: list[Cell], folder: str) -> list[bytes]:
    """Return what has not been written yet."""
    all_names = "\n".join(" ".join(cell.names) for cell in cells).encode("latin-1")
    stored = b"\n".join([all_names, *(cell.value for cell in cells)])
    records = [c.value for c in cells if b'"sequence":' in c.value and HOST.encode() in c.value]
    files = b"\n".join(b"%r %b" % (each.names, each.value) for each in _dump_folder(Path(folder)))
    in_store = b"alive: totals lease:tidy lease:watch lease:locks huey-signals:marks:"
    in_store += b" huey-signals:locks huey-signals:skips huey-signals:cleared"
    if any(cell.where == "hash" for cell in cells):
        in_store += b" huey-signals.fresh"
    in_record = b'"running":[[" "locks":[" "skips":[[" "sealed":false "huey_handler_errors_total"'
    in_record += b' "huey_tokens_cleaned_total" "huey_task_seconds"'
    missing = [each for each in in_store.split() if each not in stored]
    missing += [e for e in in_record.split() if not any(e in record for record in records)]
    return missing + [e for e in (b"names", b"idle_since") if e not in files]


def end(kind: str, location: str, name: str, folder: str) -> None:
    """Lock errors of a process that ends as usual, so that its counts go into the totals."""
    from prometheus_client import CollectorRegistry

    import huey_signals_kit
    from huey_signals_kit.handlers import RescheduleLocked
    from huey_signals_kit.sinks.prometheus import PrometheusSink

    huey = _open(kind, location, name)
    sink = PrometheusSink(CollectorRegistry(), Path(folder, "totals"))
    again = huey_signals_kit.Registry("again")
    again.add(RescheduleLocked(delay=DELAY), "locked", "error", "retrying")
    huey_signals_kit.install_handlers(huey, preset=["observe", again], sinks=[sink])
    tasks = declare(huey)
    with huey.lock_task("held"):
        far = datetime.now() + timedelta(seconds=LASTING)
        for expires in (None, far, timedelta(seconds=LASTING), LASTING):
            huey.enqueue(tasks.waits.s(expires=expires))
        tasks.small()
        _run_queue(huey)
    huey.lock_task("cleared").__enter__()


def read(kind: str, location: str, name: str, ids: str) -> None:
    """Print what every command says, first with the records of processes, then without."""
    from huey_signals_kit.__main__ import main

    huey = _open(kind, location, name)
    app = sys.modules["app"] = types.ModuleType("app")
    app.huey = huey  # type: ignore[attr-defined]
    declare(huey)
    said = {}
    for command in (*COMMANDS, None, *WITHOUT_PROCESSES):
        if command is None:
            _forget_processes(huey, location)
            continue
        sys.argv = ["huey-signals", *command.format(**json.loads(ids)).split()]
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            main()
        text = out.getvalue()
        said[command] = json.loads(text) if "--json" in command else _metrics(text)
    print(json.dumps(said))


def _metrics(text: str) -> list[str]:
    """Return the names of metrics, each with its labels' names."""
    plain = (re.sub(r'="[^"]*"|\} .*| .*', "", line) for line in text.splitlines())
    return sorted({each for each in plain if each and each[0] != "#"})


def _forget_processes(huey: Any, location: str) -> None:
    for cell in filter(is_of_process, dump(huey, location)):
        if cell.where == "file":
            Path(location, *cell.names).unlink()
        elif cell.where == "kv":
            huey.storage.sql("delete from kv where queue = ? and key = ?", cell.names, True)
        elif cell.where == "hash":
            huey.storage.conn.hdel(*cell.names)
        else:
            huey.storage.conn.delete(*cell.names)


if __name__ == "__main__":
    action, *arguments = sys.argv[1:]
    if action == "write":  # under gevent a native thread writes the sign of life
        from gevent import monkey

        monkey.patch_all()
    if action != "read":
        socket.gethostname = lambda: HOST
    {"write": write, "end": end, "read": read}[action](*arguments)
