"""List the series that are known before anything was counted, so that sinks show them at zero.

A series that appears with its first count makes ``increase()`` of Prometheus miss that count,
because there is no earlier value to compare with.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from ..huey_internals.facts import SIGNALS
from .labels import FoldedLabels, sanitize_label
from .names import (
    EVENTS_DROPPED,
    HANDLER_ERRORS,
    LOCK_REFUSALS,
    LOCKS_LOST,
    LOCKS_RELEASED,
    SIGNALS_TOTAL,
    STALE_LOCKS_FOUND,
    SUPPRESSED,
    TOKENS_CLEANED,
)
from .values import Key

MAX_TASKS = 200
"""The number of tasks whose series are shown before they are counted."""

MAX_LOCKS = 1000
"""With more lock names than this, such as one per user, none is shown before it is counted."""

_OF_A_TASK = (
    *((SIGNALS_TOTAL, signal) for signal in sorted(SIGNALS)),
    *((SUPPRESSED, verdict) for verdict in ("drop", "expire")),
)
_OF_A_LOCK = (LOCK_REFUSALS, LOCKS_LOST, LOCKS_RELEASED, STALE_LOCKS_FOUND)


def initial_keys(
    queue: str,
    tasks: Iterable[str],
    locks: Iterable[str],
    handlers: Iterable[tuple[str, bool]],
    labels: FoldedLabels,
) -> list[Key]:
    """Return the key of each series that is known before it is counted.

    Args:
        queue: The name of the queue, as a label.
        tasks: The names of the declared tasks.
        locks: The names of the locks that were made so far.
        handlers: The name of each handler, and whether it runs in the background.
        labels: The labels that locks are counted under.
    """
    keys: list[Key] = [(TOKENS_CLEANED, queue, by) for by in ("skip", "sweep")]
    for task in map(sanitize_label, islice(tasks, MAX_TASKS)):
        keys += [(metric, queue, task, label) for metric, label in _OF_A_TASK]
    folded = {sanitize_label(labels.label_of(lock)) for lock in locks}
    keys += [(metric, queue, lock) for lock in sorted(folded) for metric in _OF_A_LOCK]
    for name, in_background in handlers:
        keys.append((HANDLER_ERRORS, queue, sanitize_label(name)))
        if in_background:
            keys.append((EVENTS_DROPPED, queue, sanitize_label(name)))
    return keys
