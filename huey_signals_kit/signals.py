"""The blinker signals that a kit sends; the sender is the Huey.

`lock_skipped` and `task_revoked` are sent only if a handler listens to that signal of Huey: with
``tidy-tokens`` alone, for example, `lock_skipped` is not sent.
"""

from __future__ import annotations

from blinker import Namespace

_namespace = Namespace()

lock_skipped = _namespace.signal(
    "lock-skipped",
    doc="A task could not acquire its lock. Sent with ``event``.",
)
result_suppressed = _namespace.signal(
    "result-suppressed",
    doc="An error was not stored as usual. Sent with ``task_id`` (of the task that failed, or of a "
    "later stage of its pipeline), ``task_name`` (of the task that failed) and ``verdict``.",
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
    doc="A token sweep ended, complete or not. Sent with ``report`` (a `SweepReport`).",
)
stale_lock_found = _namespace.signal(
    "stale-lock-found",
    doc="A lock was found whose holder is dead. Sent with ``lock`` (a `LockInfo`).",
)
lock_released = _namespace.signal(
    "lock-released",
    doc="A lock was released whose holder is dead, or that no process claimed. Sent with ``lock`` "
    "(a `LockInfo`).",
)
page_action = _namespace.signal(
    "page-action",
    doc="A person changed something in the web interface. Sent with ``action`` "
    "(such as ``'release'``), ``target`` (the lock, the id or the task; empty for the whole "
    "queue), ``count`` (the number of things changed) and ``user`` (empty if unknown).",
)
handler_failed = _namespace.signal(
    "handler-failed",
    doc="A handler raised. Sent with ``handler`` (its name), ``event`` and ``exception``.",
)
