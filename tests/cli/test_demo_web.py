"""`huey-signals demo --web`: a queue to play with, and its page."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("jinja2")

from typer.testing import CliRunner

from huey_signals_kit.cli import app
from huey_signals_kit.cli._demo.playground import Playground
from huey_signals_kit.cli._demo.storages import DemoStorage
from tests.support import wait_until

DEMO = [sys.executable, "-m", "huey_signals_kit", "demo", "--web", "--port", "0"]
SECONDS = 60


class Demo:
    """A running demo with its page."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.log = folder / "demo.log"
        self._temporary = folder / "tmp"
        self._temporary.mkdir()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*DEMO, *options],
                stderr=log,
                env={**os.environ, "TMPDIR": str(self._temporary)},
            )

    @property
    def left(self) -> list[Path]:
        """What is left in the folder for temporary files, but for the empty one of this user."""
        ours = self._temporary / f"huey-signals-{os.getuid()}"
        return [path for path in self._temporary.rglob("*") if path != ours]

    @property
    def url(self) -> str:
        """The printed address of the page."""
        found = wait_until(self._address, SECONDS, "the address of the page", self.log)
        return str(found)

    def _address(self) -> str | None:
        assert self.process.poll() is None, self.log.read_text()
        found = re.search(r"Serving (http://127\.0\.0\.1:\d+/)", self.log.read_text())
        return found and found[1]

    def read(self, page: str) -> dict:
        """A page as JSON."""
        with urllib.request.urlopen(f"{self.url}{page}.json", timeout=SECONDS) as answer:
            return json.load(answer)

    def close(self) -> None:
        """End the demo, if it runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """`start(*options)`: a demo that ends with the test."""
    started: list[Demo] = []

    def start(*options: str) -> Demo:
        started.append(Demo(tmp_path, *options))
        return started[-1]

    yield start
    for demo in started:
        demo.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_the_queue_has_all_that_a_page_shows(
    start: Callable[..., Demo], kind: str, request: pytest.FixtureRequest
) -> None:
    """Work, contention, a dead holder, a lock without a holder, and garbage; Ctrl-C removes all."""
    url = request.getfixturevalue("redis_url") if kind == "redis" else ""
    demo = start(*(["--redis", url] if url else []))

    def full() -> dict | None:
        page = demo.read("overview")
        counts = [len(page[name]) for name in ("locks", "problems", "processes")]
        return page if counts == [3, 1, 2] and page["store_age_seconds"] is not None else None

    page = wait_until(full, SECONDS, "a dead, a living and an unknown holder", demo.log)
    states = {lock["name"]: lock["state"] for lock in page["locks"]}
    assert states["reports/nightly"] == "dead"
    assert states["import-orders"] == "alive"
    assert states["legacy-export"] == "unknown"
    assert demo.read("tokens")["report"]["tokens"]["orphaned"] == 60
    assert demo.read("store")["report"]["errors"]["TaskLockedException"] == 240
    pids = [process["pid"] for process in page["processes"]]
    while demo.process.poll() is None:
        demo.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            demo.process.wait(0.1)
    assert demo.process.returncode == 0
    assert "Traceback" not in demo.log.read_text()
    assert demo.left == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    if url:
        with redis.Redis.from_url(url) as client:
            assert list(client.scan_iter(match="*hueysignalsdemo*")) == []


def test_work_is_enqueued_only_while_it_is_done(tmp_path: Path) -> None:
    """Without consumers the queue does not grow without end."""
    playground = Playground(DemoStorage("sqlite", str(tmp_path / "shop.db"), "shop"))
    for _ in range(200):
        playground.feed()
    assert 100 < playground.huey.storage.queue_size() < 110
    names = {task.name.removeprefix("shop.") for task in playground.huey.pending()}
    assert names >= {"send_invoice", "import_orders", "nightly_report", "charge_customer"}
    playground.huey.storage.close()


def test_a_port_that_is_taken_is_said_before_anything_starts() -> None:
    """With what to do; figures are refused too, because there are none."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = CliRunner().invoke(app, ["demo", "--web", "--port", str(port)])
    assert ended.exit_code == 2
    assert f"cannot listen on 127.0.0.1, port {port}" in ended.output
    ended = CliRunner().invoke(app, ["demo", "--web", "--json"])
    assert ended.exit_code == 2
    assert "leave out --json" in ended.output
