"""Breadcrumbs of lock skips for Sentry."""

from __future__ import annotations

from ..event import Event
from ..huey_internals.facts import LOCK_SIGNALS
from .locks import mark_lock_errors_only


@mark_lock_errors_only
def leave_breadcrumb(event: Event) -> None:
    """Keep a lock skip, to add it as a breadcrumb to later events that the task sends to Sentry.

    Sentry forgets its own breadcrumbs at the end of the skipped attempt. So the kit keeps the last
    20 skips of each task, for 15 minutes, in this process, and adds them to every event of that
    time. A skip has the id of the task and the attempt, but no reference to the task. An event
    from a thread that the task has started gets no breadcrumbs.
    """
    # Hot path: the private attribute saves the call of the property if the value is known.
    is_lock_error = event._is_lock_error or event.is_lock_error
    if is_lock_error and event._signal in LOCK_SIGNALS and not event._skip_remembered:
        event._skip_remembered = True
        lock = event._lock or event.lock or ""
        skip = (event._timestamp, lock, str(event._task.id), event.attempt)
        event._context.add_skip_breadcrumb(event._task_name, skip)
