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

from ..huey_internals.patch import MethodPatch
from .claims import ClaimedMessage, being_read, in_flight_of, nothing


class QueuePatch:
    """Stands around ``dequeue`` and ``read_schedule`` of one Huey.

    With ``-k process`` the scheduler has a process to itself, where Huey calls no hook:
    *scheduler_runs* is told there, each time that it reads the schedule.
    """

    def __init__(self, huey: Any, on_scheduler_detected: Callable[[], None]) -> None:
        self._huey = huey
        self._on_scheduler_detected = on_scheduler_detected
        self._active = False
        self._patch = MethodPatch(huey)

    def install(self) -> None:
        """Put both there, on this instance alone."""
        self._active = True
        self._patch.wrap("dequeue", self._dequeue)
        self._patch.wrap("read_schedule", self._read_schedule)

    def uninstall(self) -> None:
        """Only pass on; a wrapper that other code has put around since stays."""
        self._active = False
        self._patch.remove()

    def _dequeue(self, original: Callable[..., Any]) -> Callable[..., Any]:
        huey, in_flight = self._huey, in_flight_of(self._huey)
        if getattr(original, "__func__", None) is not Huey.dequeue:
            return self._dequeue_by_others(original)

        by_thread, get_ident = in_flight.by_thread, threading.get_ident

        # What Huey's own does, with the message noted before it is unpickled: that may take long.
        def dequeue() -> Any:
            me = get_ident()
            last = by_thread.get(me)
            if last is not None:
                task_ref = last.task_ref
                if task_ref() is not None:
                    in_flight.finished(me)
                by_thread[me] = None
            if not self._active:
                return original()
            raw = huey.storage.dequeue()
            if raw is None:
                return None
            claim = ClaimedMessage()
            claim.raw = raw
            by_thread[me] = claim
            try:
                task = huey.deserialize_task(raw)
            except BaseException:
                claim.set_task(None)
                raise
            try:
                claim.task_ref = ref(task)  # as `becomes` does, but for each message
            except TypeError:
                claim.set_task(task)
            return task

        return dequeue

    def _dequeue_by_others(self, original: Callable[..., Any]) -> Callable[..., Any]:
        in_flight = in_flight_of(self._huey)
        self._patch.wrap("deserialize_task", self._deserialize_task)

        def dequeue(*args: Any, **options: Any) -> Any:
            me = threading.get_ident()
            in_flight.finished(me)
            if not self._active:
                return original(*args, **options)
            claim = in_flight.by_thread[me] = ClaimedMessage()
            claim.task_ref = nothing
            task = None
            try:
                task = original(*args, **options)
            finally:
                if task is None:  # what this thread reads from now on, it has not taken
                    in_flight.by_thread[me] = None
                else:
                    claim.set_task(task)
            return task

        return dequeue

    def _deserialize_task(self, original: Callable[..., Any]) -> Callable[..., Any]:
        in_flight = in_flight_of(self._huey)

        def deserialize_task(raw: Any, *args: Any, **options: Any) -> Any:
            claim = in_flight.by_thread.get(threading.get_ident())
            if claim is not None and claim.task_ref is nothing and isinstance(raw, bytes):
                claim.raw, claim.task_ref = raw, being_read  # by the dequeue that is under way
            return original(raw, *args, **options)

        return deserialize_task

    def _read_schedule(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def read_schedule(*args: Any, **options: Any) -> Any:
            if not self._active:
                return original(*args, **options)
            if multiprocessing.parent_process() is not None:
                self._on_scheduler_detected()
            in_flight = in_flight_of(self._huey)
            with in_flight.reading:
                in_flight.due_tasks = []
                in_flight.due_tasks = due = original(*args, **options)
            return due

        return read_schedule
