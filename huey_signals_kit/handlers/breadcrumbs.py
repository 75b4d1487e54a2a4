"""Leaves breadcrumbs of lock skips for Sentry."""

from __future__ import annotations

from ..event import Event
from ..huey_internals.facts import LOCK_SIGNALS


def leave_breadcrumb(event: Event) -> None:
    """Remember a lock skip, to be shown on the events that the same task sends to Sentry.

    The kit keeps the last 20 of each task, for 15 minutes, in this process: Sentry's own
    breadcrumbs end with the skipped task. Each event stands by itself, so while a skip is
    recent it is shown on every one. Of the task, only its id and attempt are kept. An event
    from a thread that the task has started is not known to be the task's.
    """
    # Hot path: if the value is known already, this saves the call of the property.
    is_lock_error = event._is_lock_error or event.is_lock_error
    if is_lock_error and event._signal in LOCK_SIGNALS and not event._skip_remembered:
        event._skip_remembered = True
        lock = event._lock or event.lock or ""
        skip = (event._timestamp, lock, str(event._task.id), event.attempt)
        event._context.add_skip_breadcrumb(event._task_name, skip)
