"""A Redis that can be filled, paused, emptied and restored from an old dump."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from pathlib import Path

import redis

from tests.faults.hosts import END_WITH_THIS
from tests.servers import find_redis, free_port
from tests.support import wait_until

FILLER = "filler"


class FaultyRedis:
    """A redis-server that hosts reach by their gateways, and this process by loopback."""

    def __init__(self, folder: Path, gateways: list[str]) -> None:
        self.port = free_port()
        self._folder = folder
        self._command = [
            *END_WITH_THIS,
            *(find_redis(), "--port", str(self.port), "--bind", "127.0.0.1", *gateways),
            *("--save", "", "--appendonly", "no", "--dir", str(folder)),
            *("--protected-mode", "no", "--maxmemory-samples", "1"),
        ]
        self._filling: threading.Event | None = None
        self._paused = False
        self.start()

    def client(self, timeout: float = 10) -> redis.Redis:
        """Return a client that waits no longer than *timeout* for an answer."""
        return redis.Redis(port=self.port, socket_timeout=timeout, retry=None)

    def start(self) -> None:
        """Start it, with the dump in its folder if there is one."""
        with (self._folder / "redis.log").open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=output, start_new_session=True
            )
        wait_until(self._answers, 20, "redis-server to answer", self._folder / "redis.log")
        self.admin = self.client()

    def _answers(self) -> bool:
        try:
            return bool(self.client(1).ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        """End it, with nothing saved."""
        self._process.kill()
        self._process.wait()

    def restart_empty(self) -> None:
        """Lose everything."""
        self.kill()
        (self._folder / "dump.rdb").unlink(missing_ok=True)
        self.start()

    def dump(self) -> None:
        """Save the data as they are now."""
        self.admin.save()
        shutil.move(self._folder / "dump.rdb", self._folder / "old.rdb")

    def restore(self) -> None:
        """Go back to the data of the last `dump`."""
        self.kill()
        shutil.copy(self._folder / "old.rdb", self._folder / "dump.rdb")
        self.start()
        (self._folder / "dump.rdb").unlink()

    def pause(self) -> None:
        """Stop its process."""
        self._process.send_signal(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Let its process go on."""
        if self._paused:
            self._process.send_signal(signal.SIGCONT)
            self._paused = False

    def fill(self, policy: str, ttl: int | None = None) -> None:
        """Write more than its memory allows, on and on, under this eviction policy."""
        for number in range(200):
            self.admin.set(f"{FILLER}:{number}", b"x" * 10_000, ex=ttl)
        self.admin.config_set("maxmemory-policy", policy)
        used = self.admin.info("memory")["used_memory"]
        if policy == "noeviction":  # half of it: so not even the shortest value finds room
            self.admin.config_set("maxmemory", used // 2)
            return
        self.admin.config_set("maxmemory", used)
        self._filling = threading.Event()
        threading.Thread(target=self._fill, args=(self._filling, ttl), daemon=True).start()

    def _fill(self, end: threading.Event, ttl: int | None) -> None:
        client, number = self.client(), 200
        while not end.wait(0.05):
            for _ in range(5):
                number += 1
                try:
                    client.set(f"{FILLER}:{number}", b"x" * 10_000, ex=ttl)
                except redis.RedisError:
                    break

    def relieve(self) -> None:
        """Give it as much memory as it wants."""
        if self._filling is not None:
            self._filling.set()
            self._filling = None
        self.admin.config_set("maxmemory", 0)
        self.admin.config_set("maxmemory-policy", "noeviction")
        for key in self.admin.scan_iter(f"{FILLER}:*", count=1000):
            self.admin.delete(key)
