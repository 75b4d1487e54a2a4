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
from weakref import ref

from huey.api import Huey

from ..huey_internals.patch import Placed
from .claims import Note, being_read, hands_of, nothing


class InHand:
    """Stands around ``dequeue`` and ``read_schedule`` of one Huey.

    With ``-k process`` the scheduler has a process to itself, where Huey calls no hook:
    *scheduler_runs* is told there, each time that it reads the schedule.
    """

    def __init__(self, huey: Any, scheduler_runs: Callable[[], None]) -> None:
        self._huey = huey
        self._scheduler_runs = scheduler_runs
        self._active = False
        self._placed = Placed(huey)

    def install(self) -> None:
        """Put both there, on this instance alone."""
        self._active = True
        self._placed.put("dequeue", self._dequeue)
        self._placed.put("read_schedule", self._read_schedule)

    def uninstall(self) -> None:
        """Only pass on; a wrapper that other code has put around since stays."""
        self._active = False
        self._placed.remove()

    def _dequeue(self, found: Callable[..., Any]) -> Callable[..., Any]:
        huey, hands = self._huey, hands_of(self._huey)
        if getattr(found, "__func__", None) is not Huey.dequeue:
            return self._dequeue_by_others(found)

        notes, get_ident = hands.notes, threading.get_ident

        # What Huey's own does, with the message noted before it is unpickled: that may take long.
        def dequeue() -> Any:
            me = get_ident()
            last = notes.get(me)
            if last is not None:
                made = last.made
                if made() is not None:
                    hands.asks(me)
                notes[me] = None
            if not self._active:
                return found()
            raw = huey.storage.dequeue()
            if raw is None:
                return None
            note = Note()
            note.raw = raw
            notes[me] = note
            try:
                task = huey.deserialize_task(raw)
            except BaseException:
                note.becomes(None)
                raise
            try:
                note.made = ref(task)  # as `becomes` does, but for each message
            except TypeError:
                note.becomes(task)
            return task

        return dequeue

    def _dequeue_by_others(self, found: Callable[..., Any]) -> Callable[..., Any]:
        hands = hands_of(self._huey)
        self._placed.put("deserialize_task", self._deserialize_task)

        def dequeue(*args: Any, **options: Any) -> Any:
            me = threading.get_ident()
            hands.asks(me)
            if not self._active:
                return found(*args, **options)
            note = hands.notes[me] = Note()
            note.made = nothing
            task = None
            try:
                task = found(*args, **options)
            finally:
                if task is None:  # what this thread reads from now on, it has not taken
                    hands.notes[me] = None
                else:
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
