"""Counts what happened."""

from __future__ import annotations

from ..event import Event
from ..sinks.vocabulary import LOCK_SKIPS, SIGNALS


def count_signals(event: Event) -> None:
    """Count the event in ``huey_signals_total``."""
    event._context.tally((SIGNALS, event._task_name, event._signal))


def count_lock_skips(event: Event) -> None:
    """Count a lock error in ``huey_lock_skips_total``, under ``""`` where the lock has no name.

    The heartbeat carries the last ones, so that ``huey-signals explain`` knows of them.
    """
    if event.is_lock_error:
        context, lock = event._context, event.lock or ""
        context.record_skip((str(event._task.id), lock, event._timestamp))
        context.tally((LOCK_SKIPS, event._task_name, context.lock_labels[lock]))
