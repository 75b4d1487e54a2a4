"""Transports for Sentry that send nothing anywhere."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from sentry_sdk.integrations import Integration
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.huey import HueyIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.transport import Transport

DSN = "http://key@localhost/1"


def integrations_for(setup: str) -> list[Integration]:
    """``integration``: Sentry's HueyIntegration and the log; ``logging``: the log alone."""
    always: list[Integration] = [LoggingIntegration(), DedupeIntegration()]
    return [HueyIntegration(), *always] if setup == "integration" else always


class Recorder(Transport):
    """Keeps what it is given, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[dict[str, Any]] = []
        self.check_ins: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Any) -> None:
        for item in envelope.items:
            if item.headers["type"] in ("event", "transaction"):
                self.keep(item.payload.json)
            elif item.headers["type"] == "check_in":
                self.check_ins.append(item.payload.json)

    def keep(self, item: dict[str, Any]) -> None:
        self.items.append(item)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Those that are no transactions."""
        return [item for item in self.items if item.get("type") != "transaction"]

    @property
    def transactions(self) -> list[dict[str, Any]]:
        """Those that are."""
        return [item for item in self.items if item.get("type") == "transaction"]


class FileTransport(Recorder):
    """Writes each to a file, a line each; several processes may write to the same."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def keep(self, item: dict[str, Any]) -> None:
        line = json.dumps({**item, "pid": os.getpid()}, default=str) + "\n"
        with self._path.open("ab", buffering=0) as file:
            file.write(line.encode())


def written(path: Path) -> list[dict[str, Any]]:
    """What has been written to the file of a `FileTransport`."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def title(event: dict[str, Any]) -> str:
    """What an event is about: the type of its exception, or its message."""
    if event.get("exception"):
        return str(event["exception"]["values"][-1]["type"])
    return str((event.get("logentry") or {}).get("message") or event.get("message"))


def shown(event: dict[str, Any]) -> list[dict[str, Any]]:
    """The data of the breadcrumbs about locks."""
    crumbs = event.get("breadcrumbs", {}).get("values", [])
    return [crumb["data"] for crumb in crumbs if crumb.get("category") == "huey.lock"]


def times(event: dict[str, Any]) -> list[str]:
    """When each breadcrumb, whoever left it, says that it was left."""
    return [crumb["timestamp"] for crumb in event["breadcrumbs"]["values"]]
