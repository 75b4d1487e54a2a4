"""Record what workers dequeue and what Huey's scheduler reads, by patches of one Huey.

Huey's signals come too late for this: the first one after a message was dequeued is emitted when
its task is about to run, and reading the schedule emits none.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from typing import Any
from weakref import ref

from huey.api import Huey

from ..huey_internals.patch import MethodPatch
from ..huey_internals.stack import enqueues_periodic_tasks
from .claims import ClaimedMessage, deserializing_ref, in_flight_of, no_task_ref


class QueuePatch:
    """Wrappers around ``dequeue`` and ``read_schedule`` of one Huey.

    Args:
        huey: The Huey.
        on_scheduler_detected: Called in a process of Huey's scheduler, each time that it reads the
            schedule. With ``-k process`` Huey's scheduler has its own process, where Huey calls no
            hook.
        on_periodic_detected: Called in the process of a scheduler that enqueues periodic tasks,
            each time that it reads the schedule.
    """

    def __init__(
        self,
        huey: Any,
        on_scheduler_detected: Callable[[], None],
        on_periodic_detected: Callable[[], None],
    ) -> None:
        self._huey = huey
        self._on_scheduler_detected = on_scheduler_detected
        self._on_periodic_detected = on_periodic_detected
        self._active = False
        self._patch = MethodPatch(huey)

    def install(self) -> None:
        """Wrap the methods, on this instance alone."""
        self._active = True
        self._patch.wrap("dequeue", self._dequeue)
        self._patch.wrap("read_schedule", self._read_schedule)

    def uninstall(self) -> None:
        """Remove the wrappers; one that other code has wrapped again only passes calls on."""
        self._active = False
        self._patch.remove()

    def _dequeue(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return a ``dequeue`` that records each message.

        Hot path: called for every message. It does what Huey's own does, but records the message
        before deserializing it, which may take long. So it does not call the original, unless the
        kit was uninstalled.
        """
        huey, in_flight = self._huey, in_flight_of(self._huey)
        if getattr(original, "__func__", None) is not Huey.dequeue:
            return self._dequeue_overridden(original)

        by_thread, get_ident = in_flight.by_thread, threading.get_ident

        def dequeue() -> Any:
            thread_id = get_ident()
            last = by_thread.get(thread_id)
            if last is not None:
                task_ref = last.task_ref
                if task_ref() is not None:
                    in_flight.finish(thread_id)
                by_thread[thread_id] = None
            if not self._active:
                return original()
            raw = huey.storage.dequeue()
            if raw is None:
                return None
            claim = ClaimedMessage()
            claim.raw = raw
            by_thread[thread_id] = claim
            try:
                task = huey.deserialize_task(raw)
            except BaseException:
                claim.set_task(None)
                raise
            try:
                claim.task_ref = ref(task)  # `set_task` in line
            except TypeError:
                claim.set_task(task)
            return task

        return dequeue

    def _dequeue_overridden(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a ``dequeue`` that is not Huey's own.

        It is called as it is; the message is seen when it calls ``deserialize_task``.
        """
        in_flight = in_flight_of(self._huey)
        self._patch.wrap("deserialize_task", self._deserialize_task)

        def dequeue(*args: Any, **options: Any) -> Any:
            thread_id = threading.get_ident()
            in_flight.finish(thread_id)
            if not self._active:
                return original(*args, **options)
            claim = in_flight.by_thread[thread_id] = ClaimedMessage()
            claim.task_ref = no_task_ref
            task = None
            try:
                task = original(*args, **options)
            finally:
                if task is None:  # a message that this thread deserializes later is not dequeued
                    in_flight.by_thread[thread_id] = None
                else:
                    claim.set_task(task)
            return task

        return dequeue

    def _deserialize_task(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return a ``deserialize_task`` that records the message of the ``dequeue`` it runs in."""
        in_flight = in_flight_of(self._huey)

        def deserialize_task(raw: Any, *args: Any, **options: Any) -> Any:
            claim = in_flight.by_thread.get(threading.get_ident())
            if claim is not None and claim.task_ref is no_task_ref and isinstance(raw, bytes):
                # Called by the `dequeue` that this thread is in.
                claim.raw, claim.task_ref = raw, deserializing_ref
            return original(raw, *args, **options)

        return deserialize_task

    def _read_schedule(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return a ``read_schedule`` that records the tasks that it returns.

        It removes them from the storage. `InFlight.reading` is held meanwhile, so that a reader
        waits for the moment when they are recorded.
        """

        def read_schedule(*args: Any, **options: Any) -> Any:
            if not self._active:
                return original(*args, **options)
            if multiprocessing.parent_process() is not None:
                self._on_scheduler_detected()
            if enqueues_periodic_tasks():
                self._on_periodic_detected()
            in_flight = in_flight_of(self._huey)
            with in_flight.reading:
                in_flight.due_tasks = []
                in_flight.due_tasks = due_tasks = original(*args, **options)
            return due_tasks

        return read_schedule
