"""A SQLite file on a disk of its own, which can be full, and that can be locked."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
from contextlib import closing, suppress
from pathlib import Path

from tests.faults.contents import Contents, of_tables

DISK_BYTES = 48 * 1024 * 1024


class FaultySqlite:
    """A file on a tmpfs; make it before the hosts, whose mount namespaces copy its mount."""

    kind = "sqlite"

    def __init__(self, folder: Path, gateways: list[str], name: str) -> None:
        self._name, self._disk = name, folder / "disk"
        self._disk.mkdir(exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "faults", str(self._disk)]
        subprocess.run(mount, check=True)
        self._locked: sqlite3.Connection | None = None

    def location(self, address: str) -> str:
        """Return the path of the file; both hosts have the same."""
        return str(self._disk / "huey.db")

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self.location(""), timeout=0.5, isolation_level=None, check_same_thread=False
        )

    def read(self) -> Contents | None:
        """Return what is stored, or None if the file cannot be read."""
        try:
            with closing(self._connect()) as connection:
                return of_tables(connection.execute, self._name, "", "?")
        except sqlite3.Error:
            return None

    def remove(self, keys: list[str]) -> None:
        """Delete keys of Huey's, as a caller does that has read its results."""
        with suppress(sqlite3.Error), closing(self._connect()) as connection:
            connection.execute("begin immediate")
            rows = [(self._name, key) for key in keys]
            connection.executemany("delete from kv where queue = ? and key = ?", rows)
            connection.execute("commit")

    def lock(self) -> None:
        """Begin a transaction that keeps every other writer out."""
        self._locked = self._connect()
        while True:
            with suppress(sqlite3.OperationalError):
                self._locked.execute("begin exclusive")
                return
            threading.Event().wait(0.01)

    def unlock(self) -> None:
        """End that transaction."""
        if self._locked is not None:
            self._locked.execute("rollback")
            self._locked.close()
            self._locked = None

    def fill(self) -> None:
        """Leave no byte free on the disk."""
        with suppress(OSError), (self._disk / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def relieve(self) -> None:
        """Give that room back."""
        (self._disk / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        """Take the disk away."""
        self.unlock()
        subprocess.run(["umount", "-l", str(self._disk)], check=False)
