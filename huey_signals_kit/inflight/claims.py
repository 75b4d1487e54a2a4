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


class Note:
    """A message that a thread has taken from the queue.

    It is in that thread's hands until it asks for the next, or ends; and in somebody's for as long
    as the task exists that was made of it. (One is made for each message, so it has no
    ``__init__``, which would take longer than all the rest.)
    """

    raw: bytes | None = None
    """None where nobody has seen it."""
    made: Callable[[], Any] = being_read
    """Gives the task that was made of it, `READING` until then, None once that is gone."""
    told: Any = None
    """For whoever reads it: what it has made of it."""

    def becomes(self, task: Any) -> None:
        """It was read, and *task* made of it, or nothing."""
        if task is None:
            self.made = nothing
            return
        try:
            self.made = ref(task)
        except TypeError:  # whatever Huey was taught to make of it
            self.made = lambda: task


class Hands:
    """Of one Huey in this process."""

    def __init__(self) -> None:
        self.notes: dict[int, Note | None] = {}  # this very one is kept by who notes them
        """By thread, the message that it has taken."""
        self.older: list[Note] = []
        """Of threads that have asked for the next, while the task of the one before exists:
        another thread may have it, or it has asked from inside."""
        self.due: list[Any] = []
        """What the scheduler has read from the schedule, until it reads again."""
        self.reading = threading.RLock()
        """Held while it reads: between the storage and its hands, nobody can see these tasks."""
        self.has_worker = False
        """Whether a worker has begun in this process."""

    def asks(self, thread: int) -> None:
        """*thread* is about to take its next message, or will take none any more."""
        note, self.notes[thread] = self.notes.get(thread), None
        # One that cannot be referred to weakly would exist for ever.
        if note is not None and isinstance(note.made, ref) and note.made() is not None:
            self.older.append(note)
            if not len(self.older) % _PRUNED_AT:
                self.prune()

    def prune(self) -> list[Note]:
        """Those of the older ones that hold; the others are forgotten."""
        for note in self.older.copy():
            if note.made() is None:
                with suppress(ValueError):
                    self.older.remove(note)
        return self.older.copy()

    def taken(self) -> list[tuple[Note, Any]]:
        """Each note that holds, with its task or `READING`; what is over forgets its message."""
        found = []
        for note in self.notes.copy().values():
            task = None if note is None else note.made()
            if note is not None and task is not None:
                found.append((note, task))
            elif note is not None and isinstance(note.made, ref):
                note.raw = note.told = None
        return found

    def forget(self) -> None:
        """Another process begins, with nothing in hand."""
        self.notes.clear()
        self.older.clear()
        self.due, self.reading, self.has_worker = [], threading.RLock(), False


_hands = PerHuey(Hands)


def _forget_all() -> None:
    for hands in _hands.all():
        hands.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def hands_of(huey: Any) -> Hands:
    """Those of *huey*; always the same ones."""
    return _hands(huey)
