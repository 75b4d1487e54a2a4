"""One signal of Huey, made readable."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from huey import signals

from ._checks import short
from ._huey_facts import DECIDING, Attempt
from ._lock_errors import LockErrors, lock_name

_RETRY_DECIDED = DECIDING | {signals.SIGNAL_RETRYING}


class Context(Protocol):
    """What the built-in handlers may ask of the kit that made an event."""

    lock_errors: LockErrors

    def tally(self, metric: str, **labels: str) -> None: ...
    def may_delete_token(self, event: Event) -> bool: ...
    def token_deleted(self, event: Event) -> None: ...


class _Detached:
    """The context of an event that no kit made, as in a test of a handler."""

    lock_errors = LockErrors()

    def tally(self, metric: str, **labels: str) -> None:
        """Count nothing."""

    def may_delete_token(self, event: Event) -> bool:
        return False

    def token_deleted(self, event: Event) -> None:
        """Tell nobody."""


@dataclass(frozen=True, eq=False)
class Event:
    """One signal of Huey, as every handler receives it.

    Times are seconds: ``timestamp`` and ``started`` since the epoch, ``duration``
    as Huey measured it. ``started`` and ``duration`` are None where the task has not
    run. An event made by hand, ``Event("locked", task, huey)``, is good for testing a handler.
    """

    signal: str
    task: Any = field(repr=False)
    huey: Any = field(repr=False)
    exception: BaseException | None = None
    timestamp: float = field(default_factory=time.time, repr=False)
    _attempt: Attempt | None = field(default=None, repr=False)
    _context: Context = field(default=_Detached(), repr=False)

    def __repr__(self) -> str:
        because = f" because of {short(self.exception)}" if self.exception is not None else ""
        return f"<Event {self.signal!r} of {self.task_name} {self.task_id}{because}>"

    @property
    def task_id(self) -> str:
        """The task's id."""
        return str(self.task.id)

    @property
    def task_name(self) -> str:
        """``module.name``, as Huey registers the task and as ``tasks=`` matches it."""
        return f"{type(self.task).__module__}.{type(self.task).__name__}"

    @property
    def queue(self) -> str:
        """The name of the Huey."""
        return str(self.huey.name)

    @property
    def is_lock_error(self) -> bool:
        """Whether the exception means that somebody else had the lock."""
        return self._context.lock_errors.match(self.exception)

    @property
    def lock(self) -> str | None:
        """The name of the lock that the task could not get, or None."""
        return lock_name(self.exception)

    @property
    def retries_left(self) -> int:
        """How many attempts Huey may still make after this one."""
        return self._attempt.retries_left if self._attempt else int(self.task.retries or 0)

    @property
    def will_retry(self) -> bool:
        """Whether Huey is about to make another attempt because this one failed."""
        if self.signal == signals.SIGNAL_CANCELED and self._attempt and self.started is None:
            return False  # cancelled by a pre-execute hook: Huey makes no other attempt
        return self.signal in _RETRY_DECIDED and self.retries_left > 0

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1.

        Huey keeps only the retries that are left, so this counts from the ``retries=`` that
        the task was declared with: attempts that ``retries=`` of a single call or
        ``CancelExecution`` changed are not told apart.
        """
        return max(1, int(getattr(self.task, "default_retries", 0) or 0) - self.retries_left + 1)

    @property
    def started(self) -> float | None:
        """When the attempt began."""
        return self._attempt.started if self._attempt else None

    @property
    def duration(self) -> float | None:
        """How long the attempt ran; None before and while it runs."""
        return self._attempt.duration if self._attempt else None
