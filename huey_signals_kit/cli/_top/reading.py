"""Reads of ``huey-signals top`` beyond those of the poller: pause switches and the history."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ...ledger import History, read_history
from ...store import UPKEEP, Reader, open_kit_store, open_store
from ...store.keys import PAUSE
from ...upkeep.monitor.model import QueueSnapshot
from ...upkeep.monitor.poller import Poller


@dataclass(frozen=True)
class Pause:
    """A pause switch that keeps the runs of a task from starting."""

    task: str
    until: datetime | None
    """When it expires, in the time of the Huey; None if it does not expire."""
    once: bool
    """Whether it stops only the next run."""


@dataclass(frozen=True)
class Update:
    """All that one update shows."""

    snapshot: QueueSnapshot
    pauses: tuple[Pause, ...]
    history: History


class UpdateReader:
    """A reader of one Huey for the screen.

    Args:
        huey: The Huey.
        poller: Reads the processes, the locks and the store.
    """

    def __init__(self, huey: Any, poller: Poller) -> None:
        self._huey = huey
        self._poller = poller
        self._store = open_store(huey)
        self._kit_store = open_kit_store(huey, UPKEEP)
        self._reader = Reader(huey)

    def read(self, *wait: float | None) -> Update:
        """Return the present state.

        Args:
            *wait: The argument of `Poller.poll`, if any.
        """
        snapshot = self._poller.poll(*wait)
        return Update(snapshot, self._pauses(), read_history(self._kit_store, time.time()))

    def _pauses(self) -> tuple[Pause, ...]:
        """Return the switches that stop tasks now, by name of the task.

        Switches of tasks that this process has not imported are known from the last report.
        """
        report = self._poller.last_report
        names = sorted({*self._huey._registry._registry, *(report.pauses.active if report else ())})
        now, pauses = self._huey._get_timestamp(), []
        values = self._store.get([PAUSE + name for name in names]) if names else []
        for name, raw in zip(names, values, strict=True):
            if raw is None or not self._reader.is_token(raw):
                continue
            until, once = self._reader.value(raw)
            if once or until is None or not _is_past(until, now):
                pauses.append(Pause(name, until, once))
        return tuple(pauses)


def _is_past(until: datetime, now: datetime) -> bool:
    try:
        return until <= now
    except TypeError:  # it has a time zone, so Huey has not written it
        return False
