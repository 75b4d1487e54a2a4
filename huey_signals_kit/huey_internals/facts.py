"""Where the kit leans on Huey beyond its documented interface, for Huey 2.5 and later."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from huey import exceptions, signals
from huey.api import Huey

SIGNALS = frozenset(
    {value for name, value in vars(signals).items() if name.startswith("SIGNAL_")}
    # Those that came after 2.5: a handler may name them on every version.
    | {"enqueued", "timeout", "rate-limited"}
)


# Huey emits these from inside its except block and passes no exception.
CAUGHT_EXCEPTIONS: dict[str, type[BaseException]] = {
    signals.SIGNAL_LOCKED: exceptions.TaskLockedException,
    signals.SIGNAL_CANCELED: exceptions.CancelExecution,
    signals.SIGNAL_INTERRUPTED: KeyboardInterrupt,
    **{
        signal: getattr(exceptions, name)
        for signal, name in {"timeout": "TaskTimeout", "rate-limited": "RateLimitExceeded"}.items()
        if hasattr(exceptions, name)
    },
}

WITHOUT_EXCEPTION = frozenset({*CAUGHT_EXCEPTIONS, signals.SIGNAL_RETRYING})
"""Signals that are about an exception which Huey does not pass."""

ENDED_WITHOUT_EXCEPTION = frozenset({signals.SIGNAL_COMPLETE, signals.SIGNAL_RETRYING})
"""Signals that follow an attempt outside of Huey's except block."""

# Exceptions that Huey answers with a signal of their own (or, RetryTask, none): never SIGNAL_ERROR.
OTHER_ROUTES: tuple[type[BaseException], ...] = tuple(
    getattr(exceptions, name)
    for name in ("TaskTimeout", "RateLimitExceeded", "RetryTask", "CancelExecution")
    if hasattr(exceptions, name)
)

DECIDING = frozenset({"locked", "error", "canceled", "timeout", "rate-limited"})
"""The signals of a failed attempt whose error Huey is about to store."""

LOCK_SIGNALS = frozenset({signals.SIGNAL_LOCKED, signals.SIGNAL_ERROR})
"""An attempt that could not get its lock emits exactly one of these signals."""


def passed_exception(signal: str, passed: Iterable[object]) -> BaseException | None:
    """Return the exception among the arguments of a receiver of *signal*, or None.

    A subclass of Huey may add arguments in ``_emit``, before or after those of Huey.

    Args:
        signal: The name of the signal.
        passed: The arguments of the receiver after the task.
    """
    if signal != signals.SIGNAL_ERROR:
        return None
    return next((each for each in passed if isinstance(each, BaseException)), None)


LOCKED_LINE = "Task %s not run, %s."
"""What Huey logs of a locked task, with its id and the exception."""
REVOKED_LINE = "Task %s was revoked, not executing"
"""What Huey logs of a revoked task."""


def is_own_method(huey: Any, name: str, found: Any) -> bool:
    """Whether *found*, the attribute *name* of *huey*, is its class's method."""
    # Not by vars(huey): asking for its __dict__ makes CPython slower on it from then on, by a
    # tenth of all that an ordinary task costs.
    ours = getattr(found, "__self__", None) is huey
    return ours and getattr(found, "__func__", None) is getattr(type(huey), name, found)


# Methods that plugins, including the kit, do not replace on an instance.
_BOUND = ("create_consumer", "scheduled_count", "pending_count")


def real_huey(thing: object) -> Huey | None:
    """Return `thing` if it is a Huey, the wrapped Huey if it is a lazy proxy, else None.

    A proxy (``SimpleLazyObject`` of Django, ``LocalProxy`` of werkzeug, ``ObjectProxy`` of wrapt)
    is an instance of Huey for ``isinstance``, but an attribute set on it may not reach the Huey.
    """
    if issubclass(type(thing), Huey):
        return thing
    if not isinstance(thing, Huey):
        return None
    methods = (getattr(thing, name, None) for name in _BOUND)
    owners = (getattr(method, "__self__", None) for method in methods)
    return next((owner for owner in owners if issubclass(type(owner), Huey)), None)


def declared_tasks(huey: Any) -> list[str]:
    """Return the names, ``module.name``, of the tasks that are declared in this process."""
    return list(huey._registry._registry.copy())


def known_locks(huey: Any, most: int) -> list[str]:
    """Return the names of the locks that were made in this process; none if more than *most*."""
    prefix, keys = f"{huey.name}.lock.", huey._locks
    if len(keys) > most:
        return []
    return [key[len(prefix) :] for key in keys.copy() if key.startswith(prefix)]
