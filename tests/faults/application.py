"""The application of a fault run: it enqueues, revokes and forgets, and writes in the books."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from tests.faults.books import Books, Token
from tests.faults.judge import Judge
from tests.faults.two_hosts_app import Events, Settings, declare, open_huey

LOCKS = [f"lock-{number}" for number in range(8)]
LONG_LOCKS = [f"long-{number}" for number in range(16)]
"""The locks of tasks that hold for longer than a fault lasts; short tasks try to get them too."""
BACKLOG = 12
REVOKE_PAUSE_SECONDS = 0.9
LONG_HOLDERS = 6
LEAKS_KEPT = 50


class Application:
    """An application on a machine of its own, always with a connection to the storage."""

    def __init__(
        self, settings: Settings, events: Events, books: Books, draw: random.Random
    ) -> None:
        self.huey = open_huey(settings)
        self._tasks = declare(self.huey, settings, events)
        self._books, self._draw = books, draw
        self._revoke_at = 0.0
        self._old: deque[str] = deque(maxlen=LEAKS_KEPT)
        self.is_over = False

    def step(self, now: float) -> None:
        """Enqueue some tasks, unless enough are waiting; revoke one now and then."""
        if self.is_over:
            return
        with suppress(Exception):
            if self.huey.pending_count() < BACKLOG:
                self._enqueue()
            if now > self._revoke_at:
                self._revoke_at = now + REVOKE_PAUSE_SECONDS
                self._revoke()

    def _enqueue(self) -> None:
        tasks, draw = self._tasks, self._draw
        for _ in range(3):
            seconds = draw.choice([0.05] * 10 + [0.5] * 4 + [3] * 2 + [12])
            tasks.hold(draw.choice(LOCKS), seconds)
            tasks.hold(draw.choice(LONG_LOCKS), 0.05)
            self._send(tasks.work.s(draw.choice([0.0, 0.05, 0.3])))
        self._send(tasks.fail.s(draw.choice([0.0, 0.05])))

    def _send(self, task: Any) -> None:
        self.huey.enqueue(task)
        self._books.enqueued[task.id] = self._books.phase
        self._old.append(task.id)

    def _revoke(self) -> None:
        """Revoke a task before it is scheduled, and leak a token of one that ran long ago."""
        soon = self._draw.random() < 0.9
        delay = self._draw.uniform(2, 6) if soon else self._draw.uniform(40, 90)
        task = self._tasks.work.s(0, eta=datetime.now() + timedelta(seconds=delay))
        self.huey.revoke_by_id(task.id)
        self._books.tokens[task.id] = Token(self._books.phase)
        try:
            self._send(task)
        except Exception:
            del self._books.tokens[task.id]
            raise
        if len(self._old) == LEAKS_KEPT:
            self.huey.revoke_by_id(self._old[0])

    def hold_for(
        self,
        judge: Judge,
        seconds: float,
        go_on: Callable[[float], None],
        computes: bool = False,
    ) -> None:
        """Have some tasks hold locks for so long; wait until they do."""
        wanted: set[str] = set()
        end = time.monotonic() + 15
        while time.monotonic() < end:
            held = {each.lock for each in judge.active()}
            if len(wanted & held) >= LONG_HOLDERS:
                return
            free = [lock for lock in LONG_LOCKS if lock not in held]
            with suppress(Exception):
                for lock in free[: LONG_HOLDERS - len(wanted & held)]:
                    self._tasks.hold(lock, seconds, computes)
                    wanted.add(lock)
            go_on(2)
