"""A file to which the consumer adds a record per task done, beside the store that is measured."""

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
_LETTERS = {kind[0].encode(): kind for kind in _KINDS.values()}
_RECORD = struct.Struct("=cd")


@dataclass(frozen=True)
class Done:
    """What was done: how many of each kind, and the seconds from the first end to the last."""

    kinds: dict[str, int]
    seconds: float


class Tally:
    """One round's file: a letter for the kind of the task, and when it ended."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def listen(self, huey: Any) -> None:
        """In the consumer: add a record whenever a task of *huey* has ended."""
        # One small write in append mode: threads and processes can share the file.
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        def ended(signal: str, task: Any, exc: Any = None) -> None:
            os.write(file, _RECORD.pack(_KINDS[signal][0].encode(), time.monotonic()))

        huey.signal(*_KINDS)(ended)

    def count(self) -> int:
        """How many tasks have ended."""
        try:
            return self._path.stat().st_size // _RECORD.size
        except FileNotFoundError:
            return 0

    def read(self) -> Done:
        """What was done; not while the consumer is at work."""
        records = list(_RECORD.iter_unpack(self._path.read_bytes()))
        times = [at for _, at in records]
        return Done(
            kinds=dict(Counter(_LETTERS[letter] for letter, _ in records)),
            seconds=max(times) - min(times),
        )
