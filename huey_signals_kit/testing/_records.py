"""Plain data that a `Recorder` collects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..huey_internals.facts import LOCK_SIGNALS
from ..verdict import Verdict


@dataclass(frozen=True)
class RecordedEvent:
    """One signal of Huey; the fields are those of `Event`."""

    signal: str
    task_name: str
    task_id: str
    lock: str | None = None
    """The name of the lock that the task could not acquire."""
    exception: BaseException | None = None
    is_lock_error: bool = False
    attempt: int = field(default=1, repr=False)
    retries_left: int = field(default=0, repr=False)
    will_retry: bool = field(default=False, repr=False)
    duration: float | None = field(default=None, repr=False)
    timestamp: float = field(default=0.0, repr=False)

    def __str__(self) -> str:
        if self.is_lock_error and self.lock is not None and self.signal in LOCK_SIGNALS:
            return f"{self.signal} by {self.lock!r}"
        return f"error {self.exception!r}" if self.signal == "error" else self.signal


@dataclass(frozen=True)
class RecordedVerdict:
    """The verdict on the error of one attempt.

    The task's own ``lock_errors`` has given it, or else the first handler that returned one.
    """

    task_name: str
    task_id: str
    verdict: Verdict
    reschedules: bool = False
    """Whether the task is scheduled again, as by the preset ``reschedule-locks``."""
    exception: BaseException | None = None

    def __str__(self) -> str:
        return "-> reschedule" if self.reschedules else f"-> {self.verdict}"


@dataclass(frozen=True)
class DeletedToken:
    """A revoke token that the kit has deleted."""

    key: str
    """``r:`` and the id of the task."""
    by: str
    task_name: str | None = None
    """None if no event of the task was recorded."""


@dataclass(frozen=True)
class Announcement:
    """A signal of `huey_signals_kit.signals` that the kit has sent."""

    name: str
    """The name in that module: ``"lock_skipped"``."""
    data: Mapping[str, object]
    """The keyword arguments that its subscribers get."""
