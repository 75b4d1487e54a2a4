"""Notes what workers and the scheduler have in hand.

Huey names a task only while its function runs. Its message was read before that; after it come
the result, hooks, receivers and the parts of a chord, and only then is what follows enqueued.
What the scheduler has read stands nowhere at all.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from typing import Any

from huey.api import Huey

from ._huey_facts import is_own_method
from .ledger import Note, being_read, hands_of, nothing


class InHand:
    """Stands around ``dequeue`` and ``read_schedule`` of one Huey.

    With ``-k process`` the scheduler has a process to itself, where Huey calls no hook:
    *scheduler_runs* is told there, each time that it reads the schedule.
    """

    def __init__(self, huey: Any, scheduler_runs: Callable[[], None]) -> None:
        self._huey = huey
        self._scheduler_runs = scheduler_runs
        self._active = False
        self._found: dict[str, Any] = {}
        self._placed: dict[str, Any] = {}

    def install(self) -> None:
        """Put both there, on this instance alone."""
        self._active = True
        self._place("dequeue", self._dequeue)
        self._place("read_schedule", self._read_schedule)

    def _place(self, name: str, around: Callable[[Any], Callable[..., Any]]) -> None:
        found = getattr(self._huey, name)
        if not is_own_method(self._huey, name, found):
            self._found[name] = found
        self._placed[name] = around(found)
        setattr(self._huey, name, self._placed[name])

    def uninstall(self) -> None:
        """Only pass on; a wrapper that other code has put around since stays."""
        self._active = False
        for name, placed in self._placed.items():
            if getattr(self._huey, name) is not placed:
                continue
            if name in self._found:
                setattr(self._huey, name, self._found[name])
            else:
                delattr(self._huey, name)

    def _dequeue(self, found: Callable[..., Any]) -> Callable[..., Any]:
        huey, hands = self._huey, hands_of(self._huey)
        if getattr(found, "__func__", None) is not Huey.dequeue:
            return self._dequeue_by_others(found)

        # What Huey's own does, with the message noted before it is unpickled: that may take long.
        def dequeue() -> Any:
            me = threading.get_ident()
            hands.asks(me)
            raw = huey.storage.dequeue()
            if raw is None:
                return None
            note = hands.notes[me] = Note(raw)
            task = None
            try:
                task = huey.deserialize_task(raw)
            finally:
                note.becomes(task)
            return task

        return dequeue

    def _dequeue_by_others(self, found: Callable[..., Any]) -> Callable[..., Any]:
        hands = hands_of(self._huey)
        self._place("deserialize_task", self._deserialize_task)

        def dequeue(*args: Any, **options: Any) -> Any:
            me = threading.get_ident()
            hands.asks(me)
            note = hands.notes[me] = Note()
            note.made = nothing
            task = None
            try:
                task = found(*args, **options)
            finally:
                note.becomes(task)
            return task

        return dequeue

    def _deserialize_task(self, found: Callable[..., Any]) -> Callable[..., Any]:
        hands = hands_of(self._huey)

        def deserialize_task(raw: Any, *args: Any, **options: Any) -> Any:
            note = hands.notes.get(threading.get_ident())
            if note is not None and note.made is nothing and isinstance(raw, bytes):
                note.raw, note.made = raw, being_read  # by the dequeue that is under way
            return found(raw, *args, **options)

        return deserialize_task

    def _read_schedule(self, found: Callable[..., Any]) -> Callable[..., Any]:
        def read_schedule(*args: Any, **options: Any) -> Any:
            if not self._active:
                return found(*args, **options)
            if multiprocessing.parent_process() is not None:
                self._scheduler_runs()
            hands = hands_of(self._huey)
            with hands.reading:
                hands.due = []
                hands.due = due = found(*args, **options)
            return due

        return read_schedule
