"""Counts of signals and of lock skips."""

from __future__ import annotations

from ..event import Event
from ..huey_internals.facts import LOCK_SIGNALS
from ..metrics.names import LOCK_SKIPS, SIGNALS_TOTAL
from .locks import mark_lock_errors_only


def count_signals(event: Event) -> None:
    """Count the event in ``huey_signals_total``, once, even if several registrations match.

    With ``sinks=`` the meter counts every signal, and this handler does nothing.
    """
    context = event._context
    if not (event._signal_counted or context.meters_signals):
        event._signal_counted = True
        context.increment((SIGNALS_TOTAL, event._task_name, event._signal))


@mark_lock_errors_only
def count_lock_skips(event: Event) -> None:
    """Count a lock error in ``huey_lock_skips_total``, under ``""`` if the lock has no name.

    Each failed attempt counts once, even if several registrations match. The heartbeat stores the
    last skips, for ``huey-signals explain``.
    """
    if event._signal in LOCK_SIGNALS and event.is_lock_error and not event._skip_counted:
        event._skip_counted = True
        context, lock = event._context, event.lock or ""
        context.record_skip((str(event._task.id), lock, event._timestamp))
        context.increment((LOCK_SKIPS, event._task_name, context.lock_labels[lock]))
