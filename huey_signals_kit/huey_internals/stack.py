"""Read from the call stack what Huey knows but does not pass to receivers, log filters and locks.

Huey keeps the start time, the duration and the caught exception of an attempt in local variables
of ``Huey._execute``. No hook receives them, and storing them elsewhere would need a table that
threads, retries and nested calls keep correct. The caller's stack always has the right frame.
"""

from __future__ import annotations

import sys
import time
from types import FrameType
from typing import Any, NamedTuple

from huey import signals
from huey.api import Huey, Task
from huey.consumer import Scheduler

from .facts import CAUGHT_EXCEPTIONS

_NEAR = 13
"""Number of frames that are searched from a receiver or a log filter for Huey's own frame."""

_FAR = 200
"""Number of frames that are searched for the task that acquires a lock."""


def _find_frame(
    frame: FrameType | None, names: tuple[str, ...], limit: int, self_type: type | None = None
) -> FrameType | None:
    """Return the innermost frame of a function with one of `names`, or None.

    Args:
        frame: The frame to begin with.
        names: The names of the functions.
        limit: The number of frames to look at.
        self_type: The type that the local variable ``self`` must have; None for any. (Before
            Python 3.13 each read of a frame's locals copies them all, so hot paths do without.)
    """
    for _ in range(limit):
        if frame is None:
            return None
        if frame.f_code.co_name in names and (
            self_type is None or isinstance(frame.f_locals.get("self"), self_type)
        ):
            return frame
        frame = frame.f_back
    return None


def caught_by_huey(signal: str) -> BaseException | None:
    """Return the exception that `signal` is about, or None; call it in a receiver.

    Huey passes the exception of ``error``. It emits most other signals in its ``except`` block,
    where ``sys.exc_info`` has the exception. It emits ``retrying`` later, but its frame
    ``_execute`` still has the exception.
    """
    if signal == signals.SIGNAL_RETRYING:
        frame = _find_frame(sys._getframe(1), ("_execute",), _NEAR)
        exception = frame.f_locals.get("exception") if frame else None
        return exception if isinstance(exception, BaseException) else None
    expected = CAUGHT_EXCEPTIONS.get(signal)
    caught = sys.exc_info()[1] if expected else None
    return caught if expected and isinstance(caught, expected) else None


def task_being_logged() -> tuple[Any, Any]:
    """Return the Huey that logs a message, and its task; call it in a filter of Huey's log."""
    frame = _find_frame(sys._getframe(1), ("_execute", "execute"), _NEAR, Huey)
    if frame is None:
        return None, None
    local_variables = frame.f_locals
    return local_variables["self"], local_variables.get("task")


class Timing(NamedTuple):
    """The timing of an attempt, in seconds; None where it is unknown."""

    since_start: float | None = None
    """From the start of the attempt to its signal."""
    duration: float | None = None
    """How long the task's function ran."""


def timing_on_stack(task: Any) -> Timing:
    """Return the timing of the attempt of `task` that has just ended; call it in a receiver."""
    start, duration = _start_and_duration(_find_frame(sys._getframe(1), ("_execute",), _NEAR), task)
    return Timing(None if start is None else time.monotonic() - start, duration)


def timing_in(frame: FrameType | None, task: Any) -> Timing:
    """Return the timing of the attempt of `task` whose exception Huey caught in `frame`."""
    _, duration = _start_and_duration(frame, task)
    return Timing(duration, duration)  # Huey emits the signal immediately


def _start_and_duration(frame: FrameType | None, task: Any) -> tuple[float | None, float | None]:
    local_variables = frame.f_locals if frame and frame.f_code.co_name == "_execute" else {}
    if local_variables.get("task") is not task:
        return None, None
    start, duration = local_variables.get("start"), local_variables.get("duration")
    return (
        start if isinstance(start, float) else None,
        duration if isinstance(duration, float) else None,
    )


class TaskExecution(NamedTuple):
    """A call of ``Huey._execute`` that has not returned."""

    huey: Any
    task: Any
    caught: BaseException | None
    """The exception that Huey has caught from the task."""


def current_execution() -> TaskExecution | None:
    """Return the innermost execution that the caller runs in, or None.

    The type of ``self`` is checked because other libraries, which tasks call, have functions named
    ``_execute`` too. An ``_execute`` that a subclass of Huey overrides counts as well; `caught` is
    None there.
    """
    frame = _find_frame(sys._getframe(1), ("_execute",), sys.maxsize, Huey)
    if frame is None:
        return None
    local_variables = frame.f_locals
    return TaskExecution(
        local_variables["self"], local_variables.get("task"), local_variables.get("exc")
    )


def task_in_frames(frame: FrameType) -> Any:
    """Return the task that `frame` runs in, or None."""
    found = _find_frame(frame, ("execute",), _FAR, Task)
    return None if found is None else found.f_locals["self"]


def is_between_tasks() -> bool:
    """Return whether the caller runs on a thread of a consumer, outside of every task."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_name
        if name == "execute" and isinstance(frame.f_locals.get("self"), Task):
            return False
        if name == "loop" and frame.f_globals.get("__name__") == "huey.consumer":
            return True
        frame = frame.f_back
    return False


def enqueues_periodic_tasks() -> bool:
    """Return whether the caller runs in a scheduler of Huey that enqueues periodic tasks.

    With ``--no-periodic`` a scheduler enqueues none.
    """
    frame = _find_frame(sys._getframe(1), ("loop",), _NEAR, Scheduler)
    return frame is not None and bool(frame.f_locals["self"].periodic)
