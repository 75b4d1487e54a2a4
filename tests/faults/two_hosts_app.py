"""The application of the fault run: tasks that write down what they do, and who is inside a lock.

The environment decides what a process does with it, see `Settings`.
"""

from __future__ import annotations

import os

if os.environ.get("FAULTS_WORKER") == "greenlet":
    from gevent import monkey

    monkey.patch_all()

import fcntl
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import huey as huey_package
from huey.api import Huey
from huey.signals import SIGNAL_ERROR, SIGNAL_LOCKED, SIGNAL_REVOKED

from huey_signals_kit import install_handlers
from huey_signals_kit.signals import lock_released
from tests.faults.observers import Observers, start_sentry

NAME = "faults"
PREFIX = "FAULTS_"


@dataclass(frozen=True)
class Settings:
    """What the environment says; `environment` and `read` are each other's inverse."""

    folder: str
    storage: str
    """``redis``, ``sqlite`` or ``postgres``."""
    location: str
    """``host:port``, the path of the file, or the DSN."""
    worker: str = ""
    """Empty in a process that only enqueues: it has no kit."""
    bare: str = ""
    """Not empty: no kit at all."""
    stale_after: int = 30
    stale_locks: str = "report"
    socket_timeout: float = 0
    broken: str = ""
    """A way to break the kit on purpose, of `tests.faults.broken`."""

    def environment(self) -> dict[str, str]:
        """Return the variables that `read` reads."""
        return {PREFIX + name.upper(): str(value) for name, value in vars(self).items()}

    @classmethod
    def read(cls) -> Settings:
        """Read the environment of this process."""
        kinds = {"stale_after": int, "socket_timeout": float}
        return cls(
            **{
                name: kinds.get(name, str)(os.environ[PREFIX + name.upper()])
                for name in cls.__dataclass_fields__
            }
        )


@dataclass
class Events:
    """A file to which every process of the run appends lines of JSON."""

    folder: Path
    _rest: bytes = b""
    _offset: int = 0
    _host: str = field(default_factory=socket.gethostname)

    def write(self, kind: str, **values: object) -> None:
        """Append one event. One `write` of a short line is never mixed with another's."""
        event = {"at": time.monotonic(), "kind": kind, "on": self._host, **values}
        line = json.dumps(event).encode() + b"\n"
        handle = os.open(self.folder / "events", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)

    def read_new(self) -> Iterator[dict]:
        """Read the events that were written since the last call."""
        with (self.folder / "events").open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        yield from map(json.loads, lines)


@contextmanager
def inside(events: Events, lock: str, task_id: str, worker: str) -> Iterator[None]:
    """Prove that no other task is inside *lock*, else write down which one is.

    The kernel drops an flock with its process, so a file that is locked has a living owner.
    """
    me = uuid4().hex
    path = events.folder / f"lock-{lock}"
    with path.open("a+") as file:
        other = ""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            file.write(me)
            file.flush()
        except BlockingIOError:
            file.seek(0)
            other = file.read()
        values = {"lock": lock, "task": task_id, "pid": os.getpid(), "worker": worker}
        events.write("enter", id=me, other=other, **values)
        try:
            yield
        finally:
            events.write("leave", id=me)


def compute(seconds: float) -> None:
    """Never let another greenlet run; in a thread worker only the interpreter's lock is shared."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def open_huey(settings: Settings) -> Huey:
    """Open the queue; a process that only enqueues gives up on its storage soon."""
    seconds = settings.socket_timeout
    if settings.storage == "sqlite":
        options = {"timeout": seconds} if seconds else {}
        return huey_package.SqliteHuey(NAME, filename=settings.location, fsync=False, **options)
    if settings.storage == "postgres":
        options = {"options": f"-c statement_timeout={seconds * 1000:.0f}"} if seconds else {}
        return huey_package.PostgresHuey(NAME, dsn=settings.location, connect_timeout=3, **options)
    options = {"socket_timeout": seconds} if seconds else {}
    host, _, port = settings.location.rpartition(":")
    return huey_package.RedisHuey(NAME, host=host, port=int(port), **options)


def declare(huey: Huey, settings: Settings, events: Events) -> SimpleNamespace:
    """Declare the tasks of the run: each writes down its end before its result is stored."""

    def begin(task):
        events.write("begin", task=task.id, pid=os.getpid(), worker=settings.worker)

    def end(task, is_error):
        events.write("end", task=task.id, pid=os.getpid(), error=is_error)

    @huey.task(name="hold", context=True)
    def hold(lock, seconds, computes=False, task=None):
        with huey.lock_task(lock), inside(events, lock, task.id, settings.worker):
            if computes and settings.worker == "greenlet":
                compute(seconds)
            else:
                time.sleep(seconds)

    @huey.task(name="work", context=True)
    def work(seconds, task=None):
        begin(task)
        time.sleep(seconds)
        end(task, False)
        return task.id

    @huey.task(name="fail", context=True)
    def fail(seconds, task=None):
        begin(task)
        time.sleep(seconds)
        end(task, True)
        raise ValueError(task.id)

    return SimpleNamespace(hold=hold, work=work, fail=fail)


def watch_signals(huey: Huey, events: Events) -> None:
    """Write down skipped, revoked and failed tasks, before the kit knows of them."""
    huey.signal(SIGNAL_LOCKED)(lambda signal, task: events.write("skip", lock=task.args[0]))
    # A task also fails where the storage refuses its lock.
    huey.signal(SIGNAL_ERROR)(lambda signal, task, exc: events.write("error", task=task.id))
    huey.signal(SIGNAL_REVOKED)(lambda signal, task: events.write("revoked", task=task.id))


def install(huey: Huey, settings: Settings, events: Events) -> None:
    """Install the kit with handlers, sinks and subscribers that a fault can break."""
    observers = Observers(events.folder)
    options = {"stale_locks": settings.stale_locks, "sinks": [observers, "prometheus"]}
    if "stale_after" in signature(install_handlers).parameters:
        options["stale_after"] = settings.stale_after
    observers.connect(huey, install_handlers(huey, **options))

    def on_release(sender, lock):
        write_release(events, lock.as_dict(), f"kit of a {settings.worker} worker")

    lock_released.connect(on_release, sender=huey, weak=False)


def write_release(events: Events, lock: dict, by: str) -> None:
    """Write down that *by* released *lock*, the dictionary of a `LockInfo`."""
    found = {name: lock.get(name) for name in ("task_id", "host", "pid", "alive")}
    events.write("release", lock=lock["name"], by=by, **found)


if PREFIX + "FOLDER" in os.environ:
    settings = Settings.read()
    events = Events(Path(settings.folder))
    huey = open_huey(settings)
    tasks = declare(huey, settings, events)
    if settings.broken:
        from tests.faults.broken import WAYS

        WAYS[settings.broken](huey)
    if settings.worker:
        watch_signals(huey, events)
        start_sentry(events.folder)
        if not settings.bare:
            install(huey, settings, events)
