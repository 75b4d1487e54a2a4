"""Facts about Huey 2.5 and later that its documented interface does not state.

Each was read from Huey's source or found by running it. When a new version of Huey appears, check
this module and its two neighbours first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from huey import exceptions, signals
from huey.api import Huey

from .django_tasks import RUN_TASK_NAME

SIGNALS = frozenset(
    {value for name, value in vars(signals).items() if name.startswith("SIGNAL_")}
    # Signals that were added after 2.5: a handler may name them on every version.
    | {"enqueued", "timeout", "rate-limited"}
)
"""The names of all signals."""

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
"""The exception of each signal that Huey emits inside its ``except`` block without passing it."""

EXCEPTION_NOT_PASSED = frozenset({*CAUGHT_EXCEPTIONS, signals.SIGNAL_RETRYING})
"""Signals that are about an exception which Huey does not pass."""

AFTER_EXCEPT_BLOCK = frozenset({signals.SIGNAL_COMPLETE, signals.SIGNAL_RETRYING})
"""Signals that Huey emits after its ``except`` block."""

NEVER_SIGNAL_ERROR: tuple[type[BaseException], ...] = tuple(
    getattr(exceptions, name)
    for name in ("TaskTimeout", "RateLimitExceeded", "RetryTask", "CancelExecution")
    if hasattr(exceptions, name)
)
"""Exceptions for which Huey emits a signal of their own, or none (``RetryTask``)."""

FAILURE_SIGNALS = frozenset({"locked", "error", "canceled", "timeout", "rate-limited"})
"""The signals of a failed attempt whose error Huey is about to store."""

LOCK_SIGNALS = frozenset({signals.SIGNAL_LOCKED, signals.SIGNAL_ERROR})
"""An attempt that could not get its lock emits exactly one of these signals."""

LOCKED_MESSAGE = "Task %s not run, %s."
"""The message that Huey logs about a locked task; its arguments are the id and the exception."""

REVOKED_MESSAGE = "Task %s was revoked, not executing"
"""The message that Huey logs about a revoked task; its argument is the id."""

# Methods that plugins, including the kit, do not replace on an instance.
_UNPATCHED_METHODS = ("create_consumer", "scheduled_count", "pending_count")


def passed_exception(signal: str, passed: Iterable[object]) -> BaseException | None:
    """Return the exception among the arguments of a receiver of `signal`, or None.

    A subclass of Huey may add arguments in ``_emit``, before or after those of Huey.

    Args:
        signal: The name of the signal.
        passed: The arguments of the receiver after the task.
    """
    if signal != signals.SIGNAL_ERROR:
        return None
    return next((argument for argument in passed if isinstance(argument, BaseException)), None)


def class_name(task_class: type) -> str:
    """Return ``module.name`` of a task class, as Huey writes it into messages."""
    return f"{task_class.__module__}.{task_class.__name__}"


def is_own_method(huey: Any, name: str, attribute: Any) -> bool:
    """Return whether `attribute`, found under `name` on `huey`, is the method of its class.

    It is not if a plugin has replaced the method on this instance. ``vars(huey)`` would answer the
    same, but creating ``__dict__`` makes every later attribute access of this object slower in
    CPython, which costs a tenth of an ordinary task.
    """
    is_bound = getattr(attribute, "__self__", None) is huey
    return is_bound and getattr(attribute, "__func__", None) is getattr(type(huey), name, attribute)


def real_huey(candidate: object) -> Huey | None:
    """Return `candidate` if it is a Huey, the wrapped Huey if it is a lazy proxy, else None.

    A proxy (``SimpleLazyObject`` of Django, ``LocalProxy`` of werkzeug, ``ObjectProxy`` of wrapt)
    is an instance of Huey for ``isinstance``, but an attribute set on it may not reach the Huey.
    """
    if issubclass(type(candidate), Huey):
        return candidate
    if not isinstance(candidate, Huey):
        return None
    methods = (getattr(candidate, name, None) for name in _UNPATCHED_METHODS)
    owners = (getattr(method, "__self__", None) for method in methods)
    return next((owner for owner in owners if issubclass(type(owner), Huey)), None)


def current_time(huey: Any) -> Any:
    """Return the present time as Huey compares it with the times in messages."""
    return huey._get_timestamp()


def declared_tasks(huey: Any) -> list[str]:
    """Return the names, ``module.name``, of the tasks that are declared in this process.

    The task that runs Django's own tasks is left out, because it is never counted under its name.
    """
    return [name for name in huey._registry._registry.copy() if name != RUN_TASK_NAME]


def periodic_tasks(huey: Any) -> list[str]:
    """Return the names of the periodic tasks that are declared in this process, sorted."""
    return sorted({class_name(task_class) for task_class in list(huey._registry._periodic_tasks)})


def known_locks(huey: Any, limit: int) -> list[str]:
    """Return the names of the locks that were made in this process; none if more than `limit`."""
    prefix, keys = f"{huey.name}.lock.", huey._locks
    if len(keys) > limit:
        return []
    return [key[len(prefix) :] for key in keys.copy() if key.startswith(prefix)]
