"""Threads, descriptors and memory of the consumers over a run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.hosts import Process

SETTLE_SECONDS = 30
"""A younger process has not taken all of its connections, caches and threads."""
LEAST_SECONDS = 100
"""A shorter span of looks says nothing about growth."""
MORE_THREADS = 3
"""gevent's pool of resolvers, and two threads for background handlers, start when first used."""
MORE_DESCRIPTORS = 12
"""Two connections for each of the six workers, in pools that keep them."""
MORE_MEGABYTES = 24
"""What CPython's allocator keeps of its peak: skips, tracebacks, and a pass through the store."""


@dataclass(frozen=True)
class Size:
    """What a process holds."""

    at: float
    threads: int
    descriptors: int
    megabytes: float

    @classmethod
    def read(cls, pid: int, now: float) -> Size:
        """Read it from the kernel."""
        root = Path(f"/proc/{pid}")
        pages = int((root / "statm").read_text().split()[1])
        descriptors = len(os.listdir(root / "fd"))
        return cls(now, len(os.listdir(root / "task")), descriptors, pages * 4096 / 2**20)

    def __str__(self) -> str:
        return f"{self.threads} threads, {self.descriptors} fds, {self.megabytes:.0f} MB"


@dataclass
class Growth:
    """The sizes of every consumer process, taken when all is quiet."""

    _first_seen: dict[Process, float] = field(default_factory=dict)
    _sizes: dict[Process, list[Size]] = field(default_factory=dict)

    def look(self, processes: Iterable[Process], now: float) -> None:
        """Read the sizes of those processes that have settled."""
        for process in processes:
            born = self._first_seen.setdefault(process, now)
            if now - born < SETTLE_SECONDS:
                continue
            try:
                size = Size.read(process.pid, now)
            except OSError:
                continue
            self._sizes.setdefault(process, []).append(size)

    def _spans(self) -> list[tuple[Size, Size]]:
        pairs = [(sizes[0], sizes[-1]) for sizes in self._sizes.values()]
        return [each for each in pairs if each[1].at - each[0].at >= LEAST_SECONDS]

    def grown(self) -> list[str]:
        """Describe each process that has grown beyond the bounds."""
        return [
            f"a consumer has grown within {last.at - first.at:.0f} s: from {first} to {last}"
            for first, last in self._spans()
            if last.threads - first.threads > MORE_THREADS
            or last.descriptors - first.descriptors > MORE_DESCRIPTORS
            or last.megabytes - first.megabytes > MORE_MEGABYTES
        ]

    def summary(self) -> str:
        """Say how many processes were watched for how long, and what they gained at most."""
        spans = self._spans()
        if not spans:
            return f"growth: no consumer was watched for {LEAST_SECONDS} s"
        longest = max(last.at - first.at for first, last in spans)
        most = (
            max(last.threads - first.threads for first, last in spans),
            max(last.descriptors - first.descriptors for first, last in spans),
            max(last.megabytes - first.megabytes for first, last in spans),
        )
        return (
            f"growth: {len(spans)} processes for up to {longest:.0f} s; at most "
            f"{most[0]:+d} threads, {most[1]:+d} descriptors, {most[2]:+.0f} MB"
        )
