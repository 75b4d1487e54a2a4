"""A Prometheus for a test, on a free port of 127.0.0.1; promtool; and a client of its API."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers import NoServer, free_port
from tests.support import tail, wait_until

START_SECONDS = 60


def find(program: str) -> str:
    """Return the path of a program of Prometheus."""
    path = shutil.which(program)
    if path is None:
        raise NoServer(f"no {program}: apt install prometheus")
    return path


@contextmanager
def promtool() -> Iterator[str]:
    """Yield the path of promtool."""
    yield find("promtool")


@contextmanager
def installed() -> Iterator[None]:
    """Do nothing if there is a Prometheus."""
    find("prometheus")
    yield


class Prometheus:
    """A running Prometheus.

    Args:
        url: Its address.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **parameters: str) -> Any:
        """Return what its API answers; raise `ValueError` with its message for a bad query."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the series of an instant query, with `metric` and `value`."""
        found: list[dict[str, Any]] = self.ask("query", query=expr)["result"]
        return found

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = self.ask("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


@contextmanager
def prometheus(config: Path) -> Iterator[Prometheus]:
    """Run a Prometheus.

    Args:
        config: Its configuration. Its data goes to the same folder.
    """
    port, log = free_port(), config.parent / "prometheus.log"
    command = [
        find("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={config.parent / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    server = Prometheus(f"http://127.0.0.1:{port}")

    def is_up() -> bool:
        assert process.poll() is None, f"it ended{tail(log)}"
        try:
            with urllib.request.urlopen(f"{server.url}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    try:
        wait_until(is_up, START_SECONDS, "Prometheus", log)
        yield server
    finally:
        process.terminate()
        process.wait(START_SECONDS)
