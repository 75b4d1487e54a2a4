"""What workers and the scheduler of this process have in hand, as a kit notes it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import ref

from ..runtime.per_huey import PerHuey

_PRUNED_AT = 50


READING = object()


class _BeingRead:
    def __call__(self) -> Any:
        return READING


class _Nothing:
    def __call__(self) -> None:
        return None


being_read, nothing = _BeingRead(), _Nothing()


class ClaimedMessage:
    """A message that a thread has taken from the queue.

    It is in that thread's hands until it asks for the next, or ends; and in somebody's for as long
    as the task exists that was made of it. (One is made for each message, so it has no
    ``__init__``, which would take longer than all the rest.)
    """

    raw: bytes | None = None
    """None where nobody has seen it."""
    task_ref: Callable[[], Any] = being_read
    """Gives the task that was made of it, `READING` until then, None once that is gone."""
    parsed: Any = None
    """For whoever reads it: what it has made of it."""

    def set_task(self, task: Any) -> None:
        """It was read, and *task* made of it, or nothing."""
        if task is None:
            self.task_ref = nothing
            return
        try:
            self.task_ref = ref(task)
        except TypeError:  # whatever Huey was taught to make of it
            self.task_ref = lambda: task


class InFlight:
    """Of one Huey in this process."""

    def __init__(self) -> None:
        self.by_thread: dict[
            int, ClaimedMessage | None
        ] = {}  # this very one is kept by who notes them
        """By thread, the message that it has taken."""
        self.still_referenced: list[ClaimedMessage] = []
        """Of threads that have asked for the next, while the task of the one before exists:
        another thread may have it, or it has asked from inside."""
        self.due_tasks: list[Any] = []
        """What the scheduler has read from the schedule, until it reads again."""
        self.reading = threading.RLock()
        """Held while it reads: between the storage and its hands, nobody can see these tasks."""
        self.has_worker = False
        """Whether a worker has begun in this process."""

    def finished(self, thread: int) -> None:
        """*thread* is about to take its next message, or will take none any more."""
        claim, self.by_thread[thread] = self.by_thread.get(thread), None
        # One that cannot be referred to weakly would exist for ever.
        if claim is not None and isinstance(claim.task_ref, ref) and claim.task_ref() is not None:
            self.still_referenced.append(claim)
            if not len(self.still_referenced) % _PRUNED_AT:
                self.prune()

    def prune(self) -> list[ClaimedMessage]:
        """Those of the older ones that hold; the others are forgotten."""
        for claim in self.still_referenced.copy():
            if claim.task_ref() is None:
                with suppress(ValueError):
                    self.still_referenced.remove(claim)
        return self.still_referenced.copy()

    def claimed(self) -> list[tuple[ClaimedMessage, Any]]:
        """Each note that holds, with its task or `READING`; what is over forgets its message."""
        found = []
        for claim in self.by_thread.copy().values():
            task = None if claim is None else claim.task_ref()
            if claim is not None and task is not None:
                found.append((claim, task))
            elif claim is not None and isinstance(claim.task_ref, ref):
                claim.raw = claim.parsed = None
        return found

    def forget(self) -> None:
        """Another process begins, with nothing in hand."""
        self.by_thread.clear()
        self.still_referenced.clear()
        self.due_tasks, self.reading, self.has_worker = [], threading.RLock(), False


_in_flight = PerHuey(InFlight)


def _forget_all() -> None:
    for in_flight in _in_flight.all():
        in_flight.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def in_flight_of(huey: Any) -> InFlight:
    """Those of *huey*; always the same ones."""
    return _in_flight(huey)
