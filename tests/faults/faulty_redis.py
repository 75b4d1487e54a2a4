"""A Redis that can be filled, paused, emptied, slowed down, and restored from an old dump."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import redis

from tests.faults.contents import Contents
from tests.faults.hosts import END_WITH_THIS
from tests.servers import find_redis, free_port
from tests.support import wait_until

FILLER = "filler"
SLOW_SECONDS, QUICK_SECONDS = 0.15, 0.03
"""How long a slow Redis is stopped, and how long it runs then."""


class FaultyRedis:
    """A redis-server that hosts reach by their gateways, and this process by loopback."""

    kind = "redis"

    def __init__(self, folder: Path, gateways: list[str], name: str) -> None:
        self.port = free_port()
        self._folder, self._name = folder, name
        self._reader: redis.Redis | None = None
        self._slow: threading.Event | None = None
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

    def location(self, address: str) -> str:
        """Return where a process finds it that reaches this machine by *address*."""
        return f"{address}:{self.port}"

    def read(self) -> Contents | None:
        """Return what is stored, or None if it does not answer."""
        self._reader = self._reader or self.client(0.5)
        try:
            kv = self._reader.hgetall(f"huey.results.{self._name}")
            messages = self._reader.lrange(f"huey.redis.{self._name}", 0, -1)
            messages += self._reader.zrange(f"huey.schedule.{self._name}", 0, -1)
            ledger = self._reader.hgetall(f"huey-signals.ledger.{self._name}")
        except redis.RedisError:
            self._reader = None
            return None
        values = {key.decode(errors="replace"): value for key, value in kv.items()}
        return Contents(values, messages, {key.decode(): each for key, each in ledger.items()})

    def remove(self, keys: list[str]) -> None:
        """Delete keys of Huey's, as a caller does that has read its results."""
        with suppress(redis.RedisError):
            if keys and self._reader is not None:
                self._reader.hdel(f"huey.results.{self._name}", *keys)

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
        """Start again with the data of the last `dump`."""
        self.kill()
        shutil.copy(self._folder / "old.rdb", self._folder / "dump.rdb")
        self.start()
        (self._folder / "dump.rdb").unlink()

    def set_read_only(self, is_read_only: bool) -> None:
        """Make it the replica of a server that is not there, or a master again."""
        self.admin.replicaof(*(("127.0.0.1", "1") if is_read_only else ("NO", "ONE")))

    def set_scripting(self, is_allowed: bool) -> None:
        """Allow or refuse scripts to every user."""
        self.admin.execute_command(
            "ACL", "SETUSER", "default", f"{'+' if is_allowed else '-'}@scripting"
        )

    def slow_down(self) -> None:
        """Stop its process most of the time, so that each command takes longer."""
        self._slow = threading.Event()
        threading.Thread(target=self._stop_and_go, args=(self._slow,), daemon=True).start()

    def _stop_and_go(self, end: threading.Event) -> None:
        while not end.wait(QUICK_SECONDS):
            self._process.send_signal(signal.SIGSTOP)
            end.wait(SLOW_SECONDS)
            self._process.send_signal(signal.SIGCONT)

    def speed_up(self) -> None:
        """Let it run all the time."""
        if self._slow is not None:
            self._slow.set()
            self._slow = None

    def close(self) -> None:
        """End it, whatever was done to it."""
        self.speed_up()
        self.resume()
        self.kill()

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
