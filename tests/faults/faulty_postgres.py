"""A Postgres that can be killed, stopped, and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psycopg

from tests import servers
from tests.faults.contents import Contents, of_tables
from tests.faults.hosts import END_WITH_THIS
from tests.support import wait_until


class FaultyPostgres:
    """A Postgres that hosts reach by their gateways, and this process by loopback."""

    kind = "postgres"

    def __init__(self, folder: Path, gateways: list[str], name: str) -> None:
        self.port, self._name, self._log = servers.free_port(), name, folder / "postgres.log"
        self._folder = tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True)
        home, self._user = Path(self._folder.name), servers._unprivileged()
        if self._user:
            os.chown(home, self._user["user"], self._user["group"])
        binaries = servers._reachable(servers.find_postgres(), home, self._user)
        servers._initdb(binaries, home, self._user)
        with (home / "data/pg_hba.conf").open("a") as rules:
            rules.write("host all all 10.0.0.0/8 trust\n")
        command = servers._postgres_command(binaries, home, self.port)
        command[command.index("127.0.0.1")] = ",".join(["127.0.0.1", *gateways])
        self._command = [*END_WITH_THIS, *command, "-c", "max_connections=200"]
        self._command += ["-c", "synchronous_commit=on"]  # a commit survives `kill`
        self._reader: psycopg.Connection | None = None
        self.start()

    def start(self) -> None:
        """Start it; after a crash it recovers by itself."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=output, start_new_session=True, **self._user
            )
        wait_until(self._answers, 60, "postgres to answer", self._log)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.location("127.0.0.1"), connect_timeout=2).close()
        except psycopg.Error:
            return False
        return True

    def location(self, address: str) -> str:
        """Return the DSN for a process that reaches this machine by *address*."""
        return f"postgresql://postgres@{address}:{self.port}/postgres"

    def read(self) -> Contents | None:
        """Return what is stored, or None if it does not answer."""
        try:
            if self._reader is None:
                self._reader = psycopg.connect(
                    self.location("127.0.0.1"),
                    connect_timeout=2,
                    autocommit=True,
                    options="-c statement_timeout=500",
                )
            return of_tables(self._reader.execute, self._name, "huey_", "%s")
        except psycopg.Error:
            self._reader = None
            return None

    def remove(self, keys: list[str]) -> None:
        """Delete keys of Huey's, as a caller does that has read its results."""
        with suppress(psycopg.Error):
            if keys and self._reader is not None:
                query = "delete from huey_kv where queue = %s and key = any(%s)"
                self._reader.execute(query, (self._name, keys))

    def kill(self) -> None:
        """Kill every process of it at the same moment, as a power failure does."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        self._process.wait()
        self._reader = None

    def close(self) -> None:
        """End it."""
        self.kill()
        self._folder.cleanup()
