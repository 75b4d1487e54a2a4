"""Where the kit leans on Huey beyond its documented interface, for Huey 2.5 and later."""

from __future__ import annotations

import sys
import time
from types import FrameType
from typing import Any, NamedTuple

from huey import exceptions, signals

SIGNALS = frozenset(
    {value for name, value in vars(signals).items() if name.startswith("SIGNAL_")}
    # Those that came after 2.5: a handler may name them on every version.
    | {"enqueued", "timeout", "rate-limited"}
)

# Huey emits these from inside its except block and passes no exception.
_CAUGHT: dict[str, type[BaseException]] = {
    signals.SIGNAL_LOCKED: exceptions.TaskLockedException,
    signals.SIGNAL_CANCELED: exceptions.CancelExecution,
    signals.SIGNAL_INTERRUPTED: KeyboardInterrupt,
    **{
        signal: getattr(exceptions, name)
        for signal, name in {"timeout": "TaskTimeout", "rate-limited": "RateLimitExceeded"}.items()
        if hasattr(exceptions, name)
    },
}

# These end or interrupt an attempt, so Huey has its start and maybe its duration.
_AFTER_START = frozenset(_CAUGHT) | {
    signals.SIGNAL_COMPLETE,
    signals.SIGNAL_ERROR,
    signals.SIGNAL_RETRYING,
}

# Exceptions that Huey answers with a signal of their own (or, RetryTask, none): never SIGNAL_ERROR.
OTHER_ROUTES: tuple[type[BaseException], ...] = tuple(
    getattr(exceptions, name)
    for name in ("TaskTimeout", "RateLimitExceeded", "RetryTask", "CancelExecution")
    if hasattr(exceptions, name)
)

DECIDING = frozenset({"locked", "error", "canceled", "timeout", "rate-limited"})
"""The signals of a failed attempt whose error Huey is about to store."""


class Attempt(NamedTuple):
    """The attempt a signal is about, as it was then. Times in seconds, None where unknown."""

    exception: BaseException | None
    retries_left: int
    started: float | None = None
    duration: float | None = None


def attempt_behind(signal: str, task: Any, now: float) -> Attempt:
    """Read the attempt that *signal* is about, from inside a receiver of that signal.

    Huey tells no receiver when the attempt started or how long it ran, and most
    signals bring no exception; its ``_execute``, which is on the stack, has all three.
    """
    retries = int(task.retries or 0)
    if signal not in _AFTER_START:
        return Attempt(None, retries, now if signal == signals.SIGNAL_EXECUTING else None)
    found = _execute_locals(task)
    exception = found.get("exception") if signal == signals.SIGNAL_RETRYING else _caught(signal)
    start, duration = found.get("start"), found.get("duration")
    if not isinstance(start, float):
        return Attempt(exception, retries)
    since = time.monotonic() - start
    return Attempt(
        exception, retries, now - since, duration if isinstance(duration, float) else since
    )


def _caught(signal: str) -> BaseException | None:
    expected, caught = _CAUGHT.get(signal), sys.exc_info()[1]
    return caught if expected and isinstance(caught, expected) else None


def _execute_locals(task: Any) -> dict[str, Any]:
    frame: FrameType | None = sys._getframe(2)
    for _ in range(12):
        if frame is None:
            break
        if frame.f_code.co_name == "_execute" and frame.f_locals.get("task") is task:
            return frame.f_locals
        frame = frame.f_back
    return {}
