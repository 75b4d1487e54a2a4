"""One fault run: two hosts, a storage, consumers and commands on both, a judge and books."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huey_signals_kit.ledger import open_ledger
from tests.faults.application import Application
from tests.faults.books import Books
from tests.faults.clock import Clock
from tests.faults.contents import Server
from tests.faults.faulty_postgres import FaultyPostgres
from tests.faults.faulty_redis import FaultyRedis
from tests.faults.faulty_sqlite import FaultySqlite
from tests.faults.growth import Growth
from tests.faults.hosts import Host, Job, free_network, processes
from tests.faults.judge import WATCH_SECONDS, Judge
from tests.faults.observers import Trouble
from tests.faults.schedule import FAULTS, GRACEFUL
from tests.faults.stored import LOCK, Stored
from tests.faults.tally import Phase
from tests.faults.two_hosts_app import NAME, Events, Settings

APP = "tests.faults.two_hosts_app"
WORKERS = {"thread": 6, "process": 4, "greenlet": 6}
SERVERS: dict[str, Any] = {each.kind: each for each in (FaultyRedis, FaultySqlite, FaultyPostgres)}
STEP_SECONDS = 0.25
WORK_SECONDS = 150
"""Within which every consumer runs a task again after a fault; the longest is TCP's pause."""
FORGOTTEN_SECONDS = 15
"""After which a lock that no task has entered is one of a task that is dead."""
COUNT_SECONDS = 6
"""After which a heartbeat has written what was counted."""


@dataclass(frozen=True)
class Options:
    """What a run is asked for."""

    storage: str = "redis"
    stale_after: int = 30
    min_age: int = 60
    broken: str = ""
    is_bare: bool = False
    seed: int = 1


class Run:
    """A run, set up by `running`."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.stale_after, self.is_bare = options.stale_after, options.is_bare
        self._folder, self._options = folder, options
        self.draw = random.Random(options.seed)
        names, network = ("alpha", "beta"), free_network()
        self.hosts = {name: Host(name, number, network) for number, name in enumerate(names)}
        self.clock, self.trouble = Clock(folder), Trouble(folder)
        # Before the hosts, whose mount namespaces copy its mounts; it can bind later addresses.
        self.server: Server | Any = None
        if options.storage == "sqlite":
            self.server = FaultySqlite(folder, [], NAME)
        for host in self.hosts.values():
            host.boot()
        if self.server is None:
            gateways = [host.gateway for host in self.hosts.values()]
            self.server = SERVERS[options.storage](folder, gateways, NAME)
        self._events = Events(folder)
        (folder / "events").write_bytes(b"")
        self._begun = time.monotonic()
        self.phases = [Phase("start")]
        self._stored = Stored(self.server, self.hosts)
        self.judge = Judge(
            self._stored,
            options.stale_after,
            options.min_age,
            self.phases[0],
            well_since=self._begun,
            is_bare=options.is_bare,
        )
        self.books = Books(
            self.phases[0], self._stored.is_running, self.judge.violation, options.is_bare
        )
        self.growth = Growth()
        self._last_inside: dict[str, float] = {}
        location = self.server.location("127.0.0.1")
        self._settings = Settings(str(folder), options.storage, location, socket_timeout=0.5)
        self.application = Application(self._settings, self._events, self.books, self.draw)
        self._ledger = open_ledger(self.application.huey)

    def start(self) -> None:
        """Start the consumers and the commands of both hosts."""
        for host in self.hosts.values():
            for worker, number in WORKERS.items():
                host.run(self._consumer(host, worker, number))
            if self.is_bare:
                continue
            settings = self._of(host, worker="")
            age = f"{self._options.min_age}s"
            words = [sys.executable, "-m", "tests.faults.two_hosts_releaser", age]
            host.run(self._job(host, "releaser", words, settings))

    def _of(self, host: Host, **values: Any) -> Settings:
        found = replace(self._settings, location=self.server.location(host.gateway), **values)
        found = replace(found, socket_timeout=0, bare="bare" if self.is_bare else "")
        return replace(found, stale_after=self.stale_after, broken=self._options.broken)

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
        environment = settings.environment()
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(self.prometheus_folder(host.name))
        if host.name == "beta":
            environment |= self.clock.environment()
        return Job(name, words, environment, log)

    def prometheus_folder(self, host: str) -> Path:
        """Return the folder of Prometheus' multiprocess mode on a host."""
        path = self._folder / f"prometheus-{host}"
        path.mkdir(exist_ok=True)
        return path

    @property
    def consumers(self) -> list[tuple[str, str]]:
        """The consumers, by host and kind of worker."""
        return [(host, worker) for host in self.hosts for worker in WORKERS]

    def wait_for_consumers(self) -> None:
        """Let work go on until tasks run in each consumer."""
        if idle := self._idle_since(self._begun, 60):
            raise AssertionError(f"these consumers do not work: {idle}; logs: {self._folder}")

    @property
    def seconds(self) -> float:
        """For how long the run has gone on."""
        return time.monotonic() - self._begun

    def _idle_since(self, since: float, patience: float) -> list[str]:
        end = time.monotonic() + patience
        while True:
            last = self.books.last_begun
            idle = [each for each in self.consumers if last.get(each, 0) < since]
            if not idle or time.monotonic() > end:
                return [" ".join(each) for each in idle]
            self.go_on(1)

    # The time of one fault

    @property
    def _patience(self) -> float:
        """For how many seconds to wait until all is freed: a little longer than the judge."""
        return max(self.stale_after, self._options.min_age, WATCH_SECONDS) + 35

    def fault(self, name: str) -> None:
        """Run one fault, then wait until all is freed and works again."""
        begun = time.monotonic()
        phase = Phase(name, begun - self._begun)
        self.phases.append(phase)
        self.judge.phase = self.books.phase = phase
        print(f"{phase.began:6.0f} s  {name}", flush=True)
        if name not in GRACEFUL:
            self.application.hold_for(self.judge, self.stale_after + 45, self.go_on)
        FAULTS[name](self)
        over = time.monotonic()
        phase.fault_seconds = over - begun
        self.go_on(6)
        for idle in self._idle_since(over, WORK_SECONDS):
            self.judge.violation(phase, f"{idle} runs no task {WORK_SECONDS} s after the fault")
        self._wait_for_locks(over)
        phase.recovery_seconds = time.monotonic() - over
        self._look_closely()

    def _wait_for_locks(self, since: float) -> None:
        while self.judge.waiting and time.monotonic() < since + self._patience:
            self.go_on(1)

    def _look_closely(self) -> None:
        """Compare the counts, and measure the consumers, now that all is quiet."""
        totals = None
        with suppress(Exception):  # the storage may not answer
            totals = None if self.is_bare else self._ledger.snapshot().totals
        if totals is not None:
            self._step(time.monotonic())  # what was counted has been written before
            self.books.check_counts(totals)
        pids = {pid for host, worker in self.consumers for pid in self.hosts[host].pids(worker)}
        found = [each for each in processes(self._spaces) if each.pid in pids]
        self.growth.look(found, time.monotonic())

    @property
    def _spaces(self) -> set[str]:
        return {host.pid_namespace for host in self.hosts.values()}

    def go_on(self, seconds: float) -> None:
        """Let work and judgement go on for so many seconds."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            self._step(now)
            time.sleep(max(0, min(STEP_SECONDS, end - time.monotonic())))

    def _step(self, now: float) -> None:
        self.application.step(now)
        for host in self.hosts.values():
            host.step(now)
        self.judge.look(self._read_events, time.monotonic)
        contents = self._stored.contents
        seen = self.books.look(contents, self._sampled)
        if self.is_bare and contents is not None:
            seen += self._forgotten_locks(contents.values)
        self.server.remove(seen)

    def _read_events(self) -> Iterator[dict]:
        self._sampled = time.monotonic()
        for event in self._events.read_new():
            self.books.event(event)
            if event["kind"] == "enter":  # it may have left before anybody looks
                self._last_inside[LOCK + event["lock"]] = event["at"]
            yield event

    def _forgotten_locks(self, values: dict[str, bytes]) -> list[str]:
        """Return the locks in which no task is, which an operator of bare Huey frees by hand."""
        now = time.monotonic()
        for each in self.judge.active():
            self._last_inside[LOCK + each.lock] = now
        held = {key for key in values if key.startswith(LOCK)}
        # A lock that was gone in between has had no holder for a shorter time.
        self._last_inside = {key: self._last_inside.get(key, now) for key in held}
        forgotten = [
            key for key, last in self._last_inside.items() if now - last > FORGOTTEN_SECONDS
        ]
        for key in forgotten:
            del self._last_inside[key]
        return forgotten

    # What the faults need

    def hold_for(self, seconds: float, computes: bool = False) -> None:
        """Have some tasks hold locks for so long; wait until they do."""
        self.application.hold_for(self.judge, seconds, self.go_on, computes)

    def find_holder(self, worker: str = "", host: str = "") -> tuple[Host, int] | None:
        """Return a host and the number of a process on it that is inside of a lock for long."""
        active = self.judge.active()
        self.draw.shuffle(active)
        for each in sorted(active, key=lambda each: not each.lock.startswith("long")):
            if host in ("", each.host) and worker in ("", each.worker):
                return self.hosts[each.host], each.pid
        return None

    def kill_holder(self, worker: str = "", host: str = "") -> bool:
        """Kill a process that is inside of a lock; whether there was one."""
        found = self.find_holder(worker, host)
        return found is not None and found[0].send(found[1], signal.SIGKILL)

    def finish(self) -> None:
        """Enqueue nothing more, and wait until all is freed, stored and judged."""
        self.application.is_over = True
        begun = time.monotonic()
        self.go_on(COUNT_SECONDS)
        self._look_closely()
        while time.monotonic() < begun + self._patience and (
            self.judge.waiting or self.judge.losses or self.books.expected or self._is_busy()
        ):
            self.go_on(1)
        self.books.close([] if self._stored.contents is None else self._stored.contents.messages)
        for text in self.growth.grown():
            self.judge.violation(self.phases[-1], text)

    def _is_busy(self) -> bool:
        with suppress(Exception):
            return bool(self.application.huey.pending_count())
        return True

    def close(self) -> None:
        """End every process."""
        self.trouble.clear()
        for host in self.hosts.values():
            host.power_off()
        self.server.close()


@contextmanager
def running(folder: Path, options: Options) -> Iterator[Run]:
    """Set up a run, and end all its processes at the end."""
    run = Run(folder, options)
    try:
        run.start()
        yield run
    finally:
        run.close()
