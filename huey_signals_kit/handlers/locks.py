"""Keeps lock errors out of the result store, or has them expire there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from ..event import Event
from ..verdict import DROP, Verdict, expire

F = TypeVar("F", bound=Callable[..., Any])


def suppressing(handler: F) -> F:
    """Mark a handler that keeps lock errors out of the store: Sentry is not sent them either."""
    vars(handler)["suppresses_lock_errors"] = True
    return handler


@suppressing
def drop_lock_errors(event: Event) -> Verdict | None:
    """`DROP` if somebody else had the lock, no opinion on any other error."""
    return DROP if event._is_lock_error or event.is_lock_error else None


def expire_lock_errors(seconds: float = 60) -> ExpireLockErrors:
    """A handler: ``expire(seconds)`` if somebody else had the lock, else no opinion.

    For ``registry.add(expire_lock_errors(30), SIGNAL_LOCKED, SIGNAL_ERROR)``.
    """
    return ExpireLockErrors(expire(seconds))


vars(expire_lock_errors)["makes_a_handler"] = True


@dataclass(frozen=True)
class ExpireLockErrors:
    """What `expire_lock_errors` makes; two with the same time are the same handler.

    By ``may_expire``, which a handler of the user's may have as well, a process looks from its
    start for what another one has left; else from the first error that it lets expire itself.
    """

    verdict: Verdict
    suppresses_lock_errors: ClassVar[bool] = True
    may_expire: ClassVar[bool] = True

    def __call__(self, event: Event) -> Verdict | None:
        return self.verdict if event.is_lock_error else None
