"""What is in the store, read without the kit, and which processes run, read from the kernel."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field

from tests.faults.contents import Contents, Server
from tests.faults.hosts import Host, processes
from tests.faults.two_hosts_app import NAME

LOCK = f"{NAME}.lock."


@dataclass(frozen=True)
class HolderId:
    """The process and task that the value of a lock names; all empty for a foreign value."""

    host: str = ""
    pid_namespace: str = ""
    pid: int = 0
    start_time: int = 0
    task_id: str = ""
    raw: bytes = b""

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}"

    @classmethod
    def parse(cls, raw: bytes) -> HolderId:
        """Read the value of a lock that the kit took."""
        try:
            lines = pickle.loads(raw).split("\n")
            _, pid, start_time, host, pid_namespace, *_ = lines
        except Exception:
            return cls(raw=raw)
        return cls(host, pid_namespace, int(pid), int(start_time), lines[-1].split(" ")[-1], raw)


@dataclass
class Stored:
    """Samples of the store and of the processes."""

    server: Server
    hosts: dict[str, Host]
    contents: Contents | None = None
    """The last sample; None if the storage did not answer."""
    _running: set[tuple[str, int, int]] = field(default_factory=set)
    _records: dict[tuple[str, int, int], tuple[bytes, float]] = field(default_factory=dict)
    _present: set[tuple[str, int, int]] = field(default_factory=set)

    def look_at_processes(self) -> None:
        """Take a new sample of the processes of all hosts."""
        found = processes({host.pid_namespace for host in self.hosts.values()})
        self._running = {(each.pid_namespace, each.inner_pid, each.start_time) for each in found}

    def is_running(self, host: str, pid: int) -> bool:
        """Return whether the host's present boot has a process with this number."""
        pid_namespace = self.hosts[host].pid_namespace
        return any((pid_namespace, pid) == each[:2] for each in self._running)

    def is_running_holder(self, holder: HolderId) -> bool:
        """Return whether exactly this process runs."""
        return self._key(holder.pid_namespace, holder.pid, holder.start_time) in self._running

    @staticmethod
    def _key(pid_namespace: str, pid: int, start_time: int) -> tuple[str, int, int]:
        # The kit's name of a pid_namespace: boot id, pid namespace, time namespace.
        name = next(
            (part for part in pid_namespace.split() if part.startswith("pid:")), pid_namespace
        )
        return name, pid, start_time

    def sample(self, now: float) -> dict[str, HolderId] | None:
        """Return the locks and note the records, or None when the storage does not answer."""
        self.contents = self.server.read()
        if self.contents is None:
            return None
        self._note_records(self.contents.ledger, now)
        return {
            key[len(LOCK) :]: HolderId.parse(value)
            for key, value in self.contents.values.items()
            if key.startswith(LOCK)
        }

    def _note_records(self, ledger: dict[str, bytes], now: float) -> None:
        self._present = set()
        for raw in ledger.values():
            try:
                record = json.loads(raw)
                _, pid_namespace, pid, start_time = record["place"]
                raw += ledger.get(f"alive:{record['id']}", b"")
            except (ValueError, LookupError, TypeError):
                continue
            key = self._key(pid_namespace, pid, start_time)
            self._present.add(key)
            before = self._records.get(key)
            if before is None or before[0] != raw:
                self._records[key] = raw, now

    def has_record(self, holder: HolderId) -> bool:
        """Return whether the process had a record in the last sample."""
        return self._key(holder.pid_namespace, holder.pid, holder.start_time) in self._present

    def silent_for(self, host: str, pid: int, now: float) -> float | None:
        """Return for how many seconds the record of a process of this boot has not changed."""
        pid_namespace = self.hosts[host].pid_namespace
        changed = [at for key, (_, at) in self._records.items() if key[:2] == (pid_namespace, pid)]
        return now - max(changed) if changed else None
