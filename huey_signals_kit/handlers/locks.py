"""Handlers that store no lock errors, or store them for a short time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from ..event import Event
from ..verdict import DROP, Verdict, expire

F = TypeVar("F", bound=Callable[..., Any])


def mark_suppresses_lock_errors(handler: F) -> F:
    """Mark a handler whose lock errors are not stored, so that Sentry gets no event either."""
    vars(handler)["suppresses_lock_errors"] = True
    return handler


def mark_lock_errors_only(handler: F) -> F:
    """Mark a handler that does nothing on other errors, so that it is not called for them."""
    vars(handler)["only_lock_errors"] = True
    return handler


@mark_lock_errors_only
@mark_suppresses_lock_errors
def drop_lock_errors(event: Event) -> Verdict | None:
    """Return `DROP` for a lock error, and None for any other error."""
    return DROP if event._is_lock_error or event.is_lock_error else None


def expire_lock_errors(seconds: float = 60) -> ExpireLockErrors:
    """Return a handler that returns ``expire(seconds)`` for lock errors, None for other errors.

    Use it as ``registry.add(expire_lock_errors(30), SIGNAL_LOCKED, SIGNAL_ERROR)``.

    Args:
        seconds: Seconds until the stored error expires.
    """
    return ExpireLockErrors(expire(seconds))


# `on` refuses the function itself, and asks the user to call it.
vars(expire_lock_errors)["makes_a_handler"] = True


@dataclass(frozen=True)
class ExpireLockErrors:
    """The handler that `expire_lock_errors` returns; two with the same time are equal.

    A process begins to delete expired errors, of all processes:

    - at its start, if a handler has `may_expire`; a user's handler may have it too.
    - when its first worker starts, if a user's handler may return `expire` or a task has
      ``lock_errors`` in seconds.
    - else when it first stores an error that expires.
    """

    verdict: Verdict
    suppresses_lock_errors: ClassVar[bool] = True
    only_lock_errors: ClassVar[bool] = True
    may_expire: ClassVar[bool] = True

    def __call__(self, event: Event) -> Verdict | None:
        """Return the verdict for a lock error, and None for any other error."""
        return self.verdict if event.is_lock_error else None
