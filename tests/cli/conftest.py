"""A shop on each storage, and the command line run on it, in this process or in one of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from tests.support import Place, end_kits, hold, run_all

ROOT = Path(__file__).parents[2]
FAR = datetime(2099, 1, 1)
LONG = "x" * 200
SECONDS = 60

MODULE = """\
from tests.support import Place

huey = Place{place!r}.open()
number = 3


@huey.task()
def job(n=0):
    return n


@huey.task()
@huey.lock_task("held")
def guarded():
    return None
"""


@dataclass
class Ran:
    """What a command has printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """Standard output as running text."""
        return " ".join(self.out.split())

    def row(self, name: str) -> list[str]:
        """The cells of the only line that begins with *name*, as words."""
        rows = [line for line in self.out.splitlines() if line.strip().startswith(f"{name} ")]
        assert len(rows) == 1, self.out
        return rows[0].strip()[len(name) :].split()

    def fits(self) -> bool:
        """Whether it can be read at 80 columns, without colour."""
        return all(len(line) <= 80 for line in self.out.splitlines()) and "\x1b" not in self.out


class Folder:
    """Where commands are run: the current folder, with modules of Python."""

    def __init__(self, path: Path, read: Callable[[], Any]) -> None:
        self.path = path
        self._read = read
        self._started: list[subprocess.Popen[str]] = []

    def write(self, module: str, text: str) -> None:
        """A module here."""
        path = self.path.joinpath(*module.split(".")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def run(self, *arguments: str) -> Ran:
        """In this process."""
        from huey_signals_kit.cli import app

        self._read()
        with pytest.raises(SystemExit) as ended:
            app(list(arguments), prog_name="huey-signals")
        out, err = self._read()
        code = ended.value.code
        return Ran(code if isinstance(code, int) else 1, out, err)

    @property
    def environment(self) -> dict[str, str]:
        """That of its processes."""
        return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """In a process of its own."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        command = [sys.executable, "-m", "huey_signals_kit", *arguments]
        process = subprocess.Popen(
            command, cwd=self.path, env=self.environment, text=True, **options
        )
        self._started.append(process)
        return process

    def command(self, *arguments: str) -> Ran:
        """In a process of its own, until it ends."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=SECONDS)
        return Ran(process.returncode, out, err)

    def close(self) -> None:
        """Ends what still runs."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()


class Shop(Folder):
    """A folder with a module of tasks, whose Huey is at `name`."""

    def __init__(self, path: Path, read: Callable[[], Any], place: Place) -> None:
        super().__init__(path, read)
        self.place = place
        self.module = f"shop{uuid.uuid4().hex[:8]}"
        self.name = f"{self.module}.huey"
        self.write(self.module, MODULE.format(place=(place.kind, place.location, place.name)))
        self.tasks = __import__(self.module)
        self.huey = self.tasks.huey

    def fill(self) -> Any:
        """One of each kind; returns the task that waits in the schedule, revoked."""
        huey, job = self.huey, self.tasks.job
        hold(huey, "held")
        done = [job(n) for n in range(3)]
        self.tasks.guarded(), self.tasks.guarded()
        run_all(huey)
        for each in done:
            huey.revoke_by_id(each.id)
        huey.revoke_by_id("nightly", revoke_once=True)
        huey.revoke_by_id(LONG)
        huey.revoke_all(job.task_class, revoke_until=FAR)
        waiting = job.schedule(eta=FAR)
        huey.restore_all(job.task_class)
        run_all(huey)  # from the queue to the schedule
        huey.revoke_all(job.task_class, revoke_until=FAR)
        huey.revoke_by_id(waiting.id)
        job()
        return waiting


@pytest.fixture
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Folder]:
    """An empty folder, the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    before = set(sys.modules)
    folder = Folder(tmp_path, capsys.readouterr)
    yield folder
    folder.close()
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each storage that people use, in turn."""
    return request.param


@pytest.fixture
def make_shop(
    folder: Folder, make_place: Callable[..., Place], capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Shop]]:
    """`make_shop(kind)`: a shop on this storage; *location* is another way there."""
    shops: list[Shop] = []

    def make(kind: str, location: str = "") -> Shop:
        place = make_place(kind)
        if location:
            place = replace(place, location=location)
        shops.append(Shop(folder.path, capsys.readouterr, place))
        return shops[-1]

    yield make
    end_kits(shop.huey for shop in shops)
    for shop in shops:
        shop.close()
        shop.huey.storage.close()


@pytest.fixture
def shop(make_shop: Callable[[str], Shop], kind: str) -> Shop:
    """A shop on each storage in turn."""
    return make_shop(kind)


class Freezer:
    """Stands before a server, and lets nothing through from the *needle* on that it is sent."""

    def __init__(self, host: str, port: int, needle: bytes) -> None:
        self.frozen = threading.Event()
        self._to = (host, port)
        self._needle = needle
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open = [self._listening]
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ours, _ = self._listening.accept()
                theirs = socket.create_connection(self._to)
                self._open += [ours, theirs]
                for ends in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self._needle in data.lower():
                    self.frozen.set()
                if self.frozen.is_set():
                    return
                to.sendall(data)

    def close(self) -> None:
        """All connections end."""
        for each in self._open:
            each.close()


@pytest.fixture
def frozen_shop(
    make_shop: Callable[..., Shop], redis_url: str
) -> Iterator[Callable[[bytes], Shop]]:
    """`frozen_shop(needle)`: one on a Redis that hangs as soon as it is sent the *needle*."""
    server, opened = urlsplit(redis_url), []

    def make(needle: bytes) -> Shop:
        freezer = Freezer(server.hostname or "", server.port or 0, needle)
        # A script that the server knows is sent as a digest, in which no needle is found.
        with redis.Redis.from_url(redis_url) as client:
            client.script_flush()
        opened.append(freezer)
        # Newer clients wait for some seconds only, older ones for ever.
        way = server._replace(netloc=f"127.0.0.1:{freezer.port}", query="socket_timeout=1000")
        shop = make_shop("redis", way.geturl())
        shop.freezer = freezer
        return shop

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def sqlite_shop(make_shop: Callable[[str], Shop]) -> Shop:
    """A shop on SQLite."""
    return make_shop("sqlite")
