"""Counts what happened."""

from __future__ import annotations

from ..event import Event
from ..sinks.vocabulary import LOCK_SKIPS, SIGNALS


def count_signals(event: Event) -> None:
    """Count the event in ``huey_signals_total``."""
    event._context.tally(SIGNALS, task=event.task_name, signal=event.signal)


def count_lock_skips(event: Event) -> None:
    """Count a lock error in ``huey_lock_skips_total``, under ``""`` where the lock has no name."""
    if event.is_lock_error:
        event._context.tally(LOCK_SKIPS, task=event.task_name, lock=event.lock or "")
