"""Answers about single objects, such as where a task is, found in the background.

To find one task, the queue and the schedule are read. On a long queue this takes seconds, so no
request does it: a thread looks for one object at a time, and the last answers are kept.
An object that took long to find is looked for again accordingly later.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..upkeep.monitor.background_read import ReadTimeout

_FRESH_SECONDS = 2.0
_PACE = 9.0
"""An answer that took a second to find is used for this number of seconds."""

_FIRST_WAIT_SECONDS = 0.15
_WAIT_SECONDS = 0.15
_IDLE_SECONDS = 10.0
"""Seconds without a search after which the thread and its connection to the storage end."""
_MAX_ANSWERS = 64
_MAX_WAITING = 16


@dataclass(frozen=True)
class _Answer:
    value: Any
    error: Exception | None
    at: float
    seconds: float

    def is_due(self) -> bool:
        return time.monotonic() - self.at > max(_FRESH_SECONDS, _PACE * self.seconds)


class Lookups:
    """The last answers about objects of one kind."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._waiting: OrderedDict[str, Callable[[], Any]] = OrderedDict()
        self._thread: threading.Thread | None = None
        self._changes = 0
        """How often something was changed: an answer that was begun before is looked for again."""

    def get(
        self, key: str, find: Callable[[], Any], wait: float | None = None
    ) -> tuple[Any, float]:
        """Return the last answer about an object, and its age in seconds.

        Only the request that starts a search waits for it, for a moment, which is enough for a
        small store. All others get the last answer immediately.

        Args:
            key: What identifies the object.
            find: Reads the storage and returns the answer.
            wait: Seconds to wait if there is no answer, whichever request has started the search.

        Raises:
            ReadTimeout: There is no answer yet; it is being looked for.
            Exception: The search raised it.
        """
        with self._changed:
            answer = self._answers.get(key)
            if answer is None or answer.is_due():
                is_started = self._request(key, find)
                if answer is not None or wait is None:
                    moment = _FIRST_WAIT_SECONDS if answer is None else _WAIT_SECONDS
                    wait = moment if is_started else 0.0
                self._changed.wait_for(lambda: key not in self._waiting, wait)
                answer = self._answers.get(key)
            if answer is None:
                raise ReadTimeout("the storage is being searched")
            self._answers.move_to_end(key)
        if answer.error is not None:
            raise answer.error
        return answer.value, time.monotonic() - answer.at

    def clear(self, key: str | None = None) -> None:
        """Forget the answer about an object, or all answers; repeat the search that is running.

        Args:
            key: What identifies the object; None for all.
        """
        with self._changed:
            if key is None:
                self._answers.clear()
            else:
                self._answers.pop(key, None)
            self._changes += 1

    def _request(self, key: str, find: Callable[[], Any]) -> bool:
        """Start a search, unless it is waiting already; return whether it was started."""
        if key in self._waiting or len(self._waiting) >= _MAX_WAITING:
            return False
        self._waiting[key] = find
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="lookups", daemon=True)
            self._thread.start()
        self._changed.notify_all()
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._waiting, _IDLE_SECONDS):
                    self._thread = None
                    return
                key, find = next(iter(self._waiting.items()))
                changes = self._changes
            started, value, error = time.monotonic(), None, None
            try:
                value = find()
            except Exception as exc:
                error = exc
            now = time.monotonic()
            with self._changed:
                if changes != self._changes:
                    continue
                self._answers[key] = _Answer(value, error, now, now - started)
                self._answers.move_to_end(key)
                while len(self._answers) > _MAX_ANSWERS:
                    self._answers.popitem(last=False)
                self._waiting.pop(key, None)
                self._changed.notify_all()
