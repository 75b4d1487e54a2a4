"""The messages and tasks that the threads of this process have in flight.

A task is referenced weakly: when the last strong reference is gone, nothing can run or enqueue it,
so it is no longer in flight. That covers a task that is kept in a list and enqueued much later, and
needs no hook at the end of a task, which an exception or a killed thread could skip.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import ref

from ..runtime.fork import reset_in_child
from ..runtime.per_huey import PerHuey

_PRUNE_AT = 50

DESERIALIZING = object()
"""In place of a task whose message is still being deserialized."""


class _DeserializingRef:
    def __call__(self) -> Any:
        return DESERIALIZING


class _NoTaskRef:
    def __call__(self) -> None:
        return None


deserializing_ref, no_task_ref = _DeserializingRef(), _NoTaskRef()


class ClaimedMessage:
    """A message that a worker has dequeued.

    It counts as in flight until its thread dequeues the next message or ends, and for as long as
    the task object made from it is referenced. (Hot path: one is made for each message, and an
    ``__init__`` would take longer than the rest, so the attributes begin as class attributes.)
    """

    raw: bytes | None = None
    """The message; None if this process has not seen it."""
    task_ref: Callable[[], Any] = deserializing_ref
    """Returns the task made from the message, `DESERIALIZING` before, None after it is gone."""
    parsed: Any = None
    """A cache for the reader of the message."""

    def set_task(self, task: Any) -> None:
        """Record the task that was made from the message.

        Args:
            task: The task; None if there is none, such as after an error.
        """
        if task is None:
            self.task_ref = no_task_ref
            return
        try:
            self.task_ref = ref(task)
        except TypeError:  # an object of the user's, without weak references
            self.task_ref = lambda: task


class InFlight:
    """The messages and tasks of one Huey that this process has in flight."""

    def __init__(self) -> None:
        # `dequeue` and `LockManager` keep this dict, so it is cleared, never replaced.
        self.by_thread: dict[int, ClaimedMessage | None] = {}
        """The message that each thread has dequeued last, by thread id."""
        self.still_referenced: list[ClaimedMessage] = []
        """Messages of threads that have dequeued another one, while the earlier task exists.

        Another thread may run it, or the task itself has called ``dequeue``.
        """
        self.forget()
        reset_in_child(self)

    def forget(self) -> None:
        """Begin with nothing in flight."""
        self.by_thread.clear()
        self.still_referenced.clear()
        self.due_tasks: list[Any] = []
        """The tasks that Huey's scheduler has read from the schedule, until it reads again."""
        self.reading = threading.RLock()
        """Held while the scheduler reads: the tasks are then neither stored nor in `due_tasks`."""
        self.has_worker = False
        """Whether a worker has started in this process."""

    _after_fork = forget

    def restore_point(self) -> Callable[[], None]:
        """Return a function that forgets what was dequeued since, such as in a test."""
        known = {id(each): each for each in (*self.by_thread.values(), *self.still_referenced)}

        def restore() -> None:
            for thread_id, claim in self.by_thread.copy().items():
                if id(claim) not in known:
                    self.by_thread[thread_id] = None
            self.still_referenced[:] = [
                claim for claim in self.still_referenced if id(claim) in known
            ]

        return restore

    def finish(self, thread_id: int) -> None:
        """Record that a thread has finished its message: it dequeues the next one, or ends.

        Args:
            thread_id: The thread.
        """
        claim, self.by_thread[thread_id] = self.by_thread.get(thread_id), None
        # A task without weak references would count as referenced forever.
        if claim is not None and isinstance(claim.task_ref, ref) and claim.task_ref() is not None:
            self.still_referenced.append(claim)
            if not len(self.still_referenced) % _PRUNE_AT:
                self.prune()

    def prune(self) -> list[ClaimedMessage]:
        """Forget earlier messages whose task is gone; return the others."""
        for claim in self.still_referenced.copy():
            if claim.task_ref() is None:
                with suppress(ValueError):
                    self.still_referenced.remove(claim)
        return self.still_referenced.copy()

    def claimed(self) -> list[tuple[ClaimedMessage, Any]]:
        """Return each thread's message, with its task or `DESERIALIZING`.

        A message whose task is gone is left out, and its bytes are freed.
        """
        claims = []
        for claim in self.by_thread.copy().values():
            task = None if claim is None else claim.task_ref()
            if claim is not None and task is not None:
                claims.append((claim, task))
            elif claim is not None and isinstance(claim.task_ref, ref):
                claim.raw = claim.parsed = None
        return claims


_in_flight = PerHuey(InFlight)


def in_flight_of(huey: Any) -> InFlight:
    """Return what this process has in flight of `huey`; always the same object."""
    return _in_flight(huey)
