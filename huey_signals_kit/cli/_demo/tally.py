"""A file to which the consumer adds a record per task that ends.

It is not part of the store, because the store is what the demo measures.
"""

from __future__ import annotations

import os
import struct
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huey.signals import SIGNAL_COMPLETE, SIGNAL_ERROR, SIGNAL_LOCKED, SIGNAL_REVOKED

_KINDS = {
    SIGNAL_LOCKED: "locked",
    SIGNAL_REVOKED: "revoked",
    SIGNAL_ERROR: "failing",
    SIGNAL_COMPLETE: "succeeding",
}
_KIND_OF_LETTER = {kind[0].encode(): kind for kind in _KINDS.values()}
_RECORD = struct.Struct("=cd")
"""The first letter of the kind of the task, and when it ended."""


@dataclass(frozen=True)
class EndedTasks:
    """The tasks of a round that ended."""

    kinds: dict[str, int]
    """How many of each kind."""
    seconds: float
    """Between the end of the first and the end of the last."""


class Tally:
    """The file of one round."""

    def __init__(self, path: Path) -> None:
        """Name the file, without opening it.

        Args:
            path: The file.
        """
        self._path = path

    def connect(self, huey: Any) -> None:
        """Add a record whenever a task of `huey` ends in this process."""
        # Threads and processes can share the file: each record is one small write in append mode.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        def on_end(signal: str, task: Any, exc: Any = None) -> None:
            os.write(descriptor, _RECORD.pack(_KINDS[signal][0].encode(), time.monotonic()))

        huey.signal(*_KINDS)(on_end)

    def count(self) -> int:
        """Return how many tasks have ended."""
        try:
            return self._path.stat().st_size // _RECORD.size
        except FileNotFoundError:
            return 0

    def read(self) -> EndedTasks:
        """Return the tasks that ended; the consumer must have stopped."""
        records = list(_RECORD.iter_unpack(self._path.read_bytes()))
        times = [ended_at for _, ended_at in records]
        return EndedTasks(
            kinds=dict(Counter(_KIND_OF_LETTER[letter] for letter, _ in records)),
            seconds=max(times) - min(times),
        )
