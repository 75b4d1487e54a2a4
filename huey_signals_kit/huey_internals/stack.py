"""Read from the call stack what Huey knows and does not pass to receivers, filters and locks."""

from __future__ import annotations

import sys
import time
from types import FrameType
from typing import Any, NamedTuple

from huey import signals
from huey.api import Huey, Task

from .facts import CAUGHT_EXCEPTIONS


def caught_by_huey(signal: str) -> BaseException | None:
    """The exception that *signal* is about, from inside a receiver of it, or None.

    ``error`` brings its exception; most others are emitted while it is being handled.
    ``retrying`` comes later, but Huey's ``_execute``, which is on the stack, still has it.
    """
    if signal == signals.SIGNAL_RETRYING:
        frame = _execute_frame()
        found = frame.f_locals.get("exception") if frame else None
        return found if isinstance(found, BaseException) else None
    expected = CAUGHT_EXCEPTIONS.get(signal)
    caught = sys.exc_info()[1] if expected else None
    return caught if expected and isinstance(caught, expected) else None


def whose_line() -> tuple[Any, Any]:
    """The Huey that is logging one of these lines, and the task, from inside a filter."""
    frame: FrameType | None = sys._getframe(2)
    for _ in range(12):
        if frame is None:
            break
        if frame.f_code.co_name in ("_execute", "execute"):
            found = frame.f_locals
            if isinstance(found.get("self"), Huey):
                return found["self"], found.get("task")
        frame = frame.f_back
    return None, None


class Timing(NamedTuple):
    """Seconds from the start of an attempt to its signal, and of its run; None where unknown."""

    since_start: float | None = None
    duration: float | None = None


def timing_on_stack(task: Any) -> Timing:
    """The timing of the attempt of *task* that just ended, from inside a receiver.

    Huey tells it to nobody; its ``_execute``, which is on the stack, knows.
    """
    start, duration = _clocked(_execute_frame(), task)
    return Timing(None if start is None else time.monotonic() - start, duration)


def timing_in(frame: FrameType | None, task: Any) -> Timing:
    """The timing of the attempt of *task* whose exception Huey caught in *frame*."""
    _, duration = _clocked(frame, task)
    return Timing(duration, duration)  # the signal comes at once


def _clocked(frame: FrameType | None, task: Any) -> tuple[float | None, float | None]:
    found = frame.f_locals if frame and frame.f_code.co_name == "_execute" else {}
    if found.get("task") is not task:
        return None, None
    start, duration = found.get("start"), found.get("duration")
    return (
        start if isinstance(start, float) else None,
        duration if isinstance(duration, float) else None,
    )


def _execute_frame() -> FrameType | None:
    frame: FrameType | None = sys._getframe(2)
    for _ in range(12):
        if frame is None or frame.f_code.co_name == "_execute":
            return frame
        frame = frame.f_back
    return None


class Running(NamedTuple):
    """A task that is being executed, by which Huey, and the exception that Huey has caught."""

    huey: Any
    task: Any
    caught: BaseException | None


def running_task() -> Running | None:
    """The task that the caller runs in, the innermost one; None outside of Huey's ``_execute``."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        # By module as well: other libraries have an _execute, which tasks call.
        if frame.f_code.co_name == "_execute" and frame.f_globals.get("__name__") == "huey.api":
            found = frame.f_locals
            return Running(found.get("self"), found.get("task"), found.get("exc"))
        frame = frame.f_back
    return None


_FRAMES = 200
"""How far up the stack the task is looked for that takes a lock."""


def task_in_frames(frame: FrameType) -> Any:
    """The task that *frame* runs in, or None."""
    each: FrameType | None = frame
    for _ in range(_FRAMES):
        if each is None:
            return None
        if each.f_code.co_name == "execute":
            found = each.f_locals.get("self")
            if isinstance(found, Task):
                return found
        each = each.f_back
    return None
