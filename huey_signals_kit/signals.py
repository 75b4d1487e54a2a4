"""What the kit announces, as blinker signals whose sender is the Huey.

A kit announces what it hears: with ``tidy-tokens`` alone, for one, it hears of no lock.
"""

from __future__ import annotations

from blinker import Namespace

_namespace = Namespace()

lock_skipped = _namespace.signal(
    "lock-skipped",
    doc="A task could not get its lock. Sent with ``event``.",
)
result_suppressed = _namespace.signal(
    "result-suppressed",
    doc="An error was not stored. Sent with ``task_id`` (whose result it is; for a later stage of "
    "a pipeline that stage's), ``task_name`` (of the task that failed) and ``verdict``.",
)
task_revoked = _namespace.signal(
    "task-revoked",
    doc="A revoked task was skipped. Sent with ``event``.",
)
token_cleaned = _namespace.signal(
    "token-cleaned",
    doc="A spent revoke token was deleted. Sent with ``key`` and ``by`` (``'skip'``).",
)
sweep_finished = _namespace.signal(
    "sweep-finished",
    doc="Tokens were swept, all or some. Sent with ``report`` (a `SweepReport`).",
)
stale_lock_found = _namespace.signal(
    "stale-lock-found",
    doc="A lock was found whose holder is dead. Sent with ``lock`` (a `LockInfo`).",
)
lock_released = _namespace.signal(
    "lock-released",
    doc="A lock was freed that nobody alive held. Sent with ``lock`` (a `LockInfo`).",
)
handler_failed = _namespace.signal(
    "handler-failed",
    doc="A handler raised. Sent with ``handler`` (its name), ``event`` and ``exception``.",
)
