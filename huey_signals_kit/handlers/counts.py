"""Counts what happened."""

from __future__ import annotations

from .._huey_facts import LOCK_SIGNALS
from ..event import Event
from ..sinks.vocabulary import LOCK_SKIPS, SIGNALS


def count_signals(event: Event) -> None:
    """Count the event in ``huey_signals_total``, once, whatever calls this how often.

    With ``sinks=`` every signal is counted without it.
    """
    context = event._context
    if not (event._signal_counted or context.meters_signals):
        event._signal_counted = True
        context.tally((SIGNALS, event._task_name, event._signal))


def count_lock_skips(event: Event) -> None:
    """Count a lock error in ``huey_lock_skips_total``, under ``""`` where the lock has no name.

    Once for each failed attempt, whatever calls this how often and for which signals. The
    heartbeat carries the last ones, so that ``huey-signals explain`` knows of them.
    """
    if event._signal in LOCK_SIGNALS and event.is_lock_error and not event._skip_counted:
        event._skip_counted = True
        context, lock = event._context, event.lock or ""
        context.record_skip((str(event._task.id), lock, event._timestamp))
        context.tally((LOCK_SKIPS, event._task_name, context.lock_labels[lock]))
