"""A queue, its consumers, its export, and a Prometheus that scrapes them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from huey_signals_kit.ledger import open_backend
from tests.consumer.harness import ROOT, run_consumer
from tests.grafana import app, servers
from tests.servers import free_port
from tests.support import Place, tail, wait_until

RULES = ROOT / "recipes" / "grafana" / "alerts.yml"
NAME = "tests.grafana.app.huey"
SHORT = {
    r"for: \d+[mh]$": "for: 5s",
    r"\[(15m|30m|1h)\]": "[10s]",
    r"offset (1d|1h|30m)\b": "offset 10s",
    "> 60$": "> 8",  # a heartbeat comes every 5 seconds
    "> 10$": "> 0",
    "> 600$": "> 3",
    "> 300$": "> 3",
    "> 3600$": "> 3",
    "> 10e6$": "> 10e3",
    "> 1000$": "> 2",
    "> 2 [*] 86400$": "> 2",
}
"""Regular expressions of what is long in the rules, and what stands there instead."""


class World:
    """A queue with its processes, and the Prometheus that scrapes them.

    Args:
        folder: Folder for logs and configurations.
        url: A Redis of its own.
        stack: What ends the processes.
    """

    def __init__(self, folder: Path, url: str, stack: ExitStack) -> None:
        self.folder, self.stack, self.url = folder, stack, url
        self.place = Place("redis", url, "shop")
        self.huey = self.place.open()
        self.tasks = app.declare(self.huey)
        self.export_port, self.consumer_port = free_port(), free_port()
        self.seen: set[str] = set()

    def environment(self, **more: str) -> dict[str, str]:
        place = {"KIND": "redis", "LOCATION": self.url, "NAME": self.place.name}
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            **{f"HUEY_KIT_TEST_{name}": value for name, value in (place | more).items()},
        }

    def consumer(self, name: str, *options: str, **more: str):
        """A consumer with the kit, to be entered."""
        install = {"preset": "quiet-locks", "sinks": "prometheus", "stale_after": 30}
        environment = self.environment(INSTALL=json.dumps(install), **more)
        command = [sys.executable, "-m", "huey.bin.huey_consumer", NAME]
        options = ("-d", "0.1", "-m", "0.1", *options)
        log = self.folder / f"{name}.log"
        return run_consumer([*command, *options], log, ROOT, environment)

    def main_consumer(self):
        """The consumer that Prometheus scrapes, with 4 worker processes."""
        return self.consumer("main", "-k", "process", "-w", "4", PORT=str(self.consumer_port))

    def command(self, *arguments: str) -> str:
        """Run `huey-signals` and return what it prints."""
        command = [sys.executable, "-m", "huey_signals_kit", *arguments]
        ran = subprocess.run(
            command, cwd=ROOT, env=self.environment(), capture_output=True, text=True, timeout=60
        )
        assert ran.returncode in (0, 1), ran.stderr
        return ran.stdout

    def remove_records(self, host: str) -> None:
        """Remove the records of a dead host, as a consumer does ten minutes after its death."""
        backend = open_backend(self.huey)
        for process_id, record in backend.read().records.items():
            if host.encode() in record:
                backend.compare_and_delete(f"process:{process_id}", record)

    @contextmanager
    def export(self):
        """Run `huey-signals export` with a user of Redis of its own."""
        options = ["--no-counters", "--port", str(self.export_port), "--store-interval", "1"]
        command = [sys.executable, "-m", "huey_signals_kit", "export", NAME]
        environment = self.environment()
        environment["HUEY_KIT_TEST_LOCATION"] = self.url.replace("://", "://export:secret@")
        log = self.folder / "export.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*command, *options], cwd=ROOT, env=environment, stdout=output, stderr=output
            )
        try:
            wait_until(lambda: "Serving" in log.read_text(), 60, "export", log)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)

    def start_prometheus(self) -> servers.Prometheus:
        rules = RULES.read_text()
        for pattern, short in SHORT.items():
            rules, number = re.subn(pattern, short, rules, flags=re.MULTILINE)
            assert number, pattern
        (self.folder / "alerts.yml").write_text(rules)
        jobs = {"huey-export": self.export_port, "huey-consumer": self.consumer_port}
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["alerts.yml"],
            "scrape_configs": [
                {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
                for name, port in jobs.items()
            ],
        }
        path = self.folder / "prometheus.yml"
        path.write_text(json.dumps(config))
        self.prometheus = self.stack.enter_context(servers.prometheus(path))
        return self.prometheus

    def allow(self, is_allowed: bool) -> None:
        """Let `export` use Redis, or shut it out."""
        with redis.Redis.from_url(self.url) as client:
            state = "on" if is_allowed else "off"
            client.execute_command(
                "ACL", "SETUSER", "export", state, ">secret", "~*", "&*", "+@all"
            )
            for each in client.client_list():
                if each.get("user") == "export" and not is_allowed:
                    client.client_kill_filter(_id=each["id"])

    def wait_for(self, firing: set[str] = frozenset(), over: set[str] = frozenset()) -> None:
        """Wait until some alerts have fired, and others are over."""
        missing = set(firing)
        still: set[str] = set()

        def is_so() -> bool:
            nonlocal still
            time.sleep(0.5)  # Prometheus evaluates the rules once a second
            now = self.prometheus.firing()
            self.seen.update(now)
            missing.difference_update(now)
            still = now & over
            return not missing and not still

        try:
            wait_until(is_so, 75, "alerts")
        except AssertionError:
            logs = "".join(tail(log, 10) for log in self.folder.glob("*.log"))
            raise AssertionError(f"not fired: {missing}; not resolved: {still}{logs}") from None


@contextmanager
def steady(job: Callable[[], object]) -> Iterator[None]:
    """Call a function every second during the block, on a thread."""
    end = threading.Event()

    def run() -> None:
        while not end.wait(1):
            job()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
