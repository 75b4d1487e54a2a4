"""One fault run: two hosts, a Redis, consumers and commands on both, and a judge."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis

from tests.faults.faulty_redis import FaultyRedis
from tests.faults.hosts import Host, Job, free_network
from tests.faults.judge import Judge
from tests.faults.schedule import FAULTS
from tests.faults.stored import Stored
from tests.faults.tally import Phase
from tests.faults.two_hosts_app import Events, Settings, declare, open_huey

APP = "tests.faults.two_hosts_app"
LOCKS = [f"lock-{number}" for number in range(8)]
LONG_LOCKS = [f"long-{number}" for number in range(16)]
"""The locks of tasks that hold for longer than a fault lasts; short tasks try to get them too."""
WORKERS = {"thread": 6, "process": 4, "greenlet": 6}
BACKLOG = 12
STEP_SECONDS = 0.25
LONG_HOLDERS = 6


class Run:
    """A run, set up by `running`."""

    def __init__(self, folder: Path, stale_after: int, min_age: int, broken: str) -> None:
        self.stale_after, self._min_age = stale_after, min_age
        self._folder, self._broken = folder, broken
        self._draw = random.Random(1)
        names, network = ("alpha", "beta"), free_network()
        self.hosts = {name: Host(name, number, network) for number, name in enumerate(names)}
        for host in self.hosts.values():
            host.boot()
        self.server = FaultyRedis(folder, [host.gateway for host in self.hosts.values()])
        self._events = Events(folder)
        (folder / "events").write_bytes(b"")
        self._begun = time.monotonic()
        self.phases = [Phase("start")]
        stored = Stored(lambda: self.server.client(0.5), self.hosts)
        self.judge = Judge(stored, stale_after, min_age, self.phases[0], well_since=self._begun)
        self._settings = Settings(str(folder), "127.0.0.1", self.server.port, socket_timeout=0.5)
        self._huey = open_huey(self._settings)
        self._hold = declare(self._huey, self._settings, self._events)
        self._enqueues = True

    def start(self) -> None:
        """Start the consumers and the commands of both hosts."""
        for host in self.hosts.values():
            for worker, number in WORKERS.items():
                host.run(self._consumer(host, worker, number))
            settings = self._of(host, worker="")
            words = [sys.executable, "-m", "tests.faults.two_hosts_releaser", f"{self._min_age}s"]
            host.run(self._job(host, "releaser", words, settings))

    def _of(self, host: Host, **values: Any) -> Settings:
        found = replace(self._settings, redis_host=host.gateway, socket_timeout=0, **values)
        return replace(found, stale_after=self.stale_after, broken=self._broken)

    def _consumer(self, host: Host, worker: str, number: int) -> Job:
        settings = self._of(host, worker=worker)
        if worker == "process":  # one of three notices itself that it is cut off
            settings = replace(settings, socket_timeout=8)
        if (host.name, worker) in (("alpha", "process"), ("beta", "thread")):
            settings = replace(settings, stale_locks="release")
        words = ["-m", "huey.bin.huey_consumer", f"{APP}.huey", "-k", worker, "-w", str(number)]
        return self._job(host, worker, [sys.executable, *words, "-n", "-c", "1"], settings)

    def _job(self, host: Host, name: str, words: list[str], settings: Settings) -> Job:
        log = self._folder / f"{host.name}-{name}.log"
        return Job(name, words, settings.environment(), log)

    def wait_for_consumers(self) -> None:
        """Let work go on until tasks run in each consumer."""
        wanted, end = len(self.hosts) * len(WORKERS), time.monotonic() + 60
        while time.monotonic() < end:
            self.go_on(1)
            seen = {(each.host, each.worker) for each in self.judge.acquisitions.values()}
            if len(seen) == wanted:
                return
        raise AssertionError(f"only these consumers work: {sorted(seen)}; logs: {self._folder}")

    # The time of one fault

    @property
    def _patience(self) -> float:
        """For how many seconds to wait until all is freed: a little longer than the judge."""
        return max(self.stale_after, self._min_age) + 35

    def fault(self, name: str) -> None:
        """Run one fault, then wait until all is freed."""
        begun = time.monotonic()
        phase = Phase(name, begun - self._begun)
        self.phases.append(phase)
        self.judge.phase = phase
        print(f"{phase.began:6.0f} s  {name}", flush=True)
        self.hold_for(self.stale_after + 45)
        FAULTS[name](self)
        over = time.monotonic()
        phase.fault_seconds = over - begun
        self.go_on(6)
        while self.judge.waiting and time.monotonic() < over + self._patience:
            self.go_on(1)
        phase.recovery_seconds = time.monotonic() - over

    def go_on(self, seconds: float) -> None:
        """Let work and judgement go on for so many seconds."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            self._step(now)
            time.sleep(max(0, min(STEP_SECONDS, end - time.monotonic())))

    def _step(self, now: float) -> None:
        if self._enqueues:
            self._enqueue()
        for host in self.hosts.values():
            host.step(now)
        self.judge.look(self._events.read_new, time.monotonic)

    def _enqueue(self) -> None:
        with suppress(redis.RedisError):
            if self._huey.pending_count() < BACKLOG:
                for _ in range(3):
                    seconds = self._draw.choice([0.05] * 10 + [0.5] * 4 + [3] * 2 + [12])
                    self._hold(self._draw.choice(LOCKS), seconds)
                    self._hold(self._draw.choice(LONG_LOCKS), 0.05)

    def hold_for(self, seconds: float, computes: bool = False) -> None:
        """Have some tasks hold locks for so long; wait until they do."""
        wanted: set[str] = set()
        end = time.monotonic() + 15
        while time.monotonic() < end:
            held = {each.lock for each in self.judge.active()}
            if len(wanted & held) >= LONG_HOLDERS:
                return
            free = [lock for lock in LONG_LOCKS if lock not in held]
            with suppress(redis.RedisError):
                for lock in free[: LONG_HOLDERS - len(wanted & held)]:
                    self._hold(lock, seconds, computes)
                    wanted.add(lock)
            self.go_on(2)

    def find_holder(self, worker: str = "", host: str = "") -> tuple[Host, int] | None:
        """Return a host and the number of a process on it that is inside of a lock for long."""
        active = self.judge.active()
        self._draw.shuffle(active)
        for each in sorted(active, key=lambda each: each.lock not in LONG_LOCKS):
            if host in ("", each.host) and worker in ("", each.worker):
                return self.hosts[each.host], each.pid
        return None

    def kill_holder(self, worker: str = "", host: str = "") -> bool:
        """Kill a process that is inside of a lock; whether there was one."""
        found = self.find_holder(worker, host)
        return found is not None and found[0].send(found[1], signal.SIGKILL)

    def finish(self) -> None:
        """Enqueue nothing more, and wait until all is freed and judged."""
        self._enqueues = False
        end = time.monotonic() + self._patience
        self.go_on(5)
        while (self.judge.waiting or self.judge.losses) and time.monotonic() < end:
            self.go_on(1)

    def close(self) -> None:
        """End every process."""
        for host in self.hosts.values():
            host.power_off()
        self.server.resume()
        self.server.kill()


@contextmanager
def running(folder: Path, stale_after: int, min_age: int, broken: str) -> Iterator[Run]:
    """Set up a run, and end all its processes at the end."""
    run = Run(folder, stale_after, min_age, broken)
    try:
        run.start()
        yield run
    finally:
        run.close()
