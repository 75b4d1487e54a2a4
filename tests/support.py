"""What the tests share: a Huey on any storage, its queue run in this process, its store read."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import huey as huey_package
from huey.api import Huey
from huey.utils import Error

from huey_signals_kit.store import LEDGER, UPKEEP, RedisKitStore, open_kit_store

# kind: (module, Huey class, the package it needs beside Huey)
_CLASSES = {
    "memory": ("huey", "MemoryHuey", "huey"),
    "sqlite": ("huey", "SqliteHuey", "huey"),
    "cysqlite": ("huey", "CySqliteHuey", "cysqlite"),
    "file": ("huey", "FileHuey", "huey"),
    "redis": ("huey", "RedisHuey", "redis"),
    "redis-expire": ("huey", "RedisExpireHuey", "redis"),
    "priority-redis": ("huey", "PriorityRedisHuey", "redis"),
    "priority-redis-expire": ("huey", "PriorityRedisExpireHuey", "redis"),
    "postgres": ("huey", "PostgresHuey", "psycopg"),
    "sql-huey": ("huey.contrib.sql_huey", "SqlHuey", "peewee"),
}
KINDS = tuple(_CLASSES)
# Huey 2.5.0 does not signal it.
IS_3_4 = huey_package.__version__.startswith("3.4.")
BUILDS = 2 if IS_3_4 else 1
"""How often Huey builds the result of one error; 3.4.0 once more for a chord that is not there."""

HAS_ENQUEUED = hasattr(huey_package.signals, "SIGNAL_ENQUEUED")
_FORK_WARNING = "ignore:This process:DeprecationWarning"
REDIS_KINDS = tuple(kind for kind in _CLASSES if "redis" in kind)


class Unavailable(Exception):
    """A storage that this Huey does not have, or whose package is not installed."""


@dataclass(frozen=True)
class Place:
    """Where one queue lives: the kind of storage, its file, URL or DSN, the name of the queue."""

    kind: str
    location: str
    name: str

    def open(self, **options: Any) -> Huey:
        """A new Huey on this queue; `options` go to Huey and come before the defaults here."""
        make = huey_class(self.kind)
        return make(self.name, **{**self._storage_options(), **options})

    def _storage_options(self) -> dict[str, Any]:
        if self.kind == "memory":
            return {}
        if self.kind == "file":
            return {"path": self.location}
        if self.kind in ("sqlite", "cysqlite"):
            return {"filename": self.location, "fsync": False}
        if self.kind == "postgres":
            return {"dsn": self.location, "blocking": False}
        if self.kind == "sql-huey":
            return {"database": _peewee_database(self.location)}
        return {"url": self.location, "blocking": False}


def huey_class(kind: str) -> Callable[..., Huey]:
    """The class (for `sql-huey`: the factory) that opens this kind of storage."""
    module, name, needed = _CLASSES[kind]
    if find_spec(needed) is None:
        raise Unavailable(f"{name} needs the package {needed}: pip install {needed}")
    try:
        return getattr(import_module(module), name)
    except AttributeError:
        raise Unavailable(f"Huey {huey_package.__version__} has no {name}") from None


def _peewee_database(path: str) -> Any:
    import peewee

    class SqliteDatabase(peewee.SqliteDatabase):
        """As Huey 3.0 does: a transaction that reads, then writes is not refused in between."""

        def begin(self, lock_type=None):
            return super().begin(lock_type or "immediate")

    return SqliteDatabase(path, pragmas={"journal_mode": "wal", "synchronous": 0})


def give_children_default_signals() -> None:
    """Make every child process start with default signal dispositions.

    A disposition "ignore" (SIGHUP under ``nohup``, SIGINT and SIGQUIT of a shell's background
    job) survives `exec`, a handler does not. So a handler that does nothing replaces each one:
    this process goes on ignoring the signal, and its children do not inherit that.
    """
    by_python = {signal.SIGPIPE, signal.SIGXFSZ}  # `subprocess` resets these itself
    for signum in signal.valid_signals() - by_python:
        if signal.getsignal(signum) is signal.SIG_IGN:
            signal.signal(signum, lambda number, frame: None)


def let_children_fork() -> None:
    """Keep Python 3.12 and later from warning, in a child, of a fork with threads.

    Huey's process workers are such forks, and many tests expect an empty stderr.
    """
    given = os.environ.get("PYTHONWARNINGS", "")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [given, _FORK_WARNING]))


def run_all(
    huey: Huey, *, scheduled: bool = False, now: datetime | None = None, limit: int = 10_000
) -> int:
    """Runs every queued task as a worker does, and says how many there were.

    `scheduled` moves the due tasks of the schedule to the queue first, as the scheduler does,
    and again for those that come due meanwhile. `now` (as naive as Huey's own times) is the
    time of all that, so a retry of tomorrow can be run today. More than `limit` tasks are
    taken for an endless loop.
    """
    done = 0
    while (task := _next_task(huey, scheduled, now)) is not None:
        assert done < limit, f"{limit} tasks run and the queue is still not empty"
        huey.execute(task, now)
        done += 1
    return done


def _next_task(huey: Huey, scheduled: bool, now: datetime | None) -> Any:
    task = huey.dequeue()
    if task is None and scheduled:
        for due in huey.read_schedule(now):
            huey.enqueue(due)
        task = huey.dequeue()
    return task


def end_kits(hueys: Iterable[Huey]) -> None:
    """Uninstall the kits, and end the heartbeats that locks of this process keep alive."""
    from huey_signals_kit import uninstall_handlers
    from huey_signals_kit.locks.held import held_locks_of
    from huey_signals_kit.runtime.scheduler import scheduler

    for huey in hueys:
        held_locks_of(huey).forget()
        uninstall_handlers(huey)
    for job in scheduler.jobs:
        if job.name == "heartbeat":
            job.run()


def hold(huey: Huey, name: str) -> None:
    """Takes a lock and keeps it, as a worker that was killed does."""
    huey.lock_task(name).__enter__()  # acquire() came in Huey 2.5.1


def store(huey: Huey) -> dict[str, bytes]:
    """All that stands in the result store, {key: raw value}, alike for every storage."""
    # Redis and files gave bytes keys before Huey 3.3; a value is None when it expired
    # between the listing and the reading.
    return {
        key.decode() if isinstance(key, bytes) else key: bytes(value)
        for key, value in huey.all_results().items()
        if key is not None and value is not None
    }


_IN_LEDGER = ("totals", "process:", "alive:", "lease:")


def kit_data(huey: Huey) -> dict[str, bytes]:
    """The kit's own values, {key: value}, without the beginning ``huey-signals:`` of the keys."""
    found = {}
    for part in (LEDGER, UPKEEP):
        opened = open_kit_store(huey, part)
        for keys in opened.keys("" if isinstance(opened, RedisKitStore) else "huey-signals:"):
            for key, value in zip(keys, opened.get(keys), strict=True):
                found[key.removeprefix("huey-signals:")] = value
    return found


def put_kit_data(huey: Huey, key: str, value: bytes) -> None:
    """Writes such a value; the leases on Redis, which are keys of their own, cannot be."""
    opened, full = _kit_place(huey, key)
    opened.put(full, value)


def delete_kit_data(huey: Huey, *keys: str) -> None:
    """Deletes such values."""
    for key in keys:
        opened, full = _kit_place(huey, key)
        opened.delete([full])


def _kit_place(huey: Huey, key: str) -> tuple[Any, str]:
    part = LEDGER if key.startswith(_IN_LEDGER) else UPKEEP
    opened = open_kit_store(huey, part)
    plain = part == LEDGER and isinstance(opened, RedisKitStore)
    return opened, key if plain else f"huey-signals:{key}"


def stored_errors(huey: Huey) -> dict[str, dict[str, Any]]:
    """{key: metadata} of every stored error; those in a chord's parts count as well."""
    values = {key: _read(huey, raw) for key, raw in store(huey).items()}
    return {key: value.metadata for key, value in values.items() if isinstance(value, Error)}


def results(huey: Huey) -> dict[str, Any]:
    """{task id: value} of the tasks that ended well."""
    found = {}
    for key, raw in store(huey).items():
        value = None if _is_bookkeeping(huey, key) else _read(huey, raw)
        if not (_is_bookkeeping(huey, key) or isinstance(value, Error)):
            found[key] = value
    return found


def tokens(huey: Huey) -> set[str]:
    """The keys of all revoke tokens: `r:<task id>` and `rt:<task name>`."""
    return {key for key in store(huey) if key.startswith(("r:", "rt:"))}


def locks(huey: Huey) -> set[str]:
    """The names of the locks that are held."""
    prefix = f"{huey.name}.lock."
    return {key[len(prefix) :] for key in store(huey) if key.startswith(prefix)}


def _is_bookkeeping(huey: Huey, key: str) -> bool:
    own = (f"{huey.name}.lock.", f"{huey.name}.rl.")
    return key.startswith(("r:", "rt:", "chord:", "huey-signals:", *own))


def _read(huey: Huey, raw: bytes) -> Any:
    try:
        return huey.serializer.deserialize(raw)
    except Exception as error:
        return error


def wait_until(
    predicate: Callable[[], Any], timeout: float, what: str, log: Path | None = None
) -> Any:
    """Polls until `predicate` is true and returns what it returned.

    After `timeout` seconds it fails, naming what was waited for and the last lines of `log`.
    """
    deadline = time.monotonic() + timeout
    while not (answer := predicate()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}{tail(log)}")
        time.sleep(0.02)
    return answer


def tail(log: Path | None, lines: int = 40) -> str:
    """The last lines of a log, ready to stand at the end of an error message."""
    if log is None or not log.exists():
        return ""
    last = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join([f"\n--- end of {log.name}:", *last])
