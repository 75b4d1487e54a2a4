"""Counts what happened."""

from __future__ import annotations

from ..event import Event
from ..sinks.vocabulary import LOCK_SKIPS, SIGNALS


def count_signals(event: Event) -> None:
    """Count the event in ``huey_signals_total``."""
    event._context.tally((SIGNALS, event._task_name, event._signal))


def count_lock_skips(event: Event) -> None:
    """Count a lock error in ``huey_lock_skips_total``, under ``""`` where the lock has no name."""
    if event.is_lock_error:
        context = event._context
        context.tally((LOCK_SKIPS, event._task_name, context.lock_labels[event.lock or ""]))
