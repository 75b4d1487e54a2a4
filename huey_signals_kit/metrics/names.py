"""Names of the metrics and their labels, in Prometheus' naming; every sink uses these.

A new metric needs an entry in `LABELS` and in `HELP`; the first label is always the queue.
"""

from __future__ import annotations

from typing import Final

SIGNALS_TOTAL: Final = "huey_signals_total"
LOCK_SKIPS: Final = "huey_lock_skips_total"
LOCK_REFUSALS: Final = "huey_lock_refusals_total"
SUPPRESSED: Final = "huey_results_suppressed_total"
TOKENS_CLEANED: Final = "huey_tokens_cleaned_total"
HANDLER_ERRORS: Final = "huey_handler_errors_total"
EVENTS_DROPPED: Final = "huey_events_dropped_total"
STALE_LOCKS_FOUND: Final = "huey_stale_locks_found_total"
LOCKS_RELEASED: Final = "huey_locks_released_total"
LOCKS_LOST: Final = "huey_locks_lost_total"
PAGE_ACTIONS: Final = "huey_page_actions_total"
TASK_SECONDS: Final = "huey_task_duration_seconds"
"""The only histogram; the others are counters."""

LABELS: Final[dict[str, tuple[str, ...]]] = {
    SIGNALS_TOTAL: ("queue", "task", "signal"),
    LOCK_SKIPS: ("queue", "task", "lock"),
    LOCK_REFUSALS: ("queue", "lock"),
    SUPPRESSED: ("queue", "task", "verdict"),
    TOKENS_CLEANED: ("queue", "by"),
    HANDLER_ERRORS: ("queue", "handler"),
    EVENTS_DROPPED: ("queue", "handler"),
    STALE_LOCKS_FOUND: ("queue", "lock"),
    LOCKS_RELEASED: ("queue", "lock"),
    LOCKS_LOST: ("queue", "lock"),
    PAGE_ACTIONS: ("queue", "action"),
    TASK_SECONDS: ("queue", "task"),
}
"""The labels of each metric, in the order of the values in a `values.Key`."""

HELP: Final[dict[str, str]] = {
    SIGNALS_TOTAL: "Signals that Huey emitted.",
    LOCK_SKIPS: "Attempts that failed because another task held the lock.",
    LOCK_REFUSALS: "Attempts to acquire a lock that was already held.",
    SUPPRESSED: "Errors that were not stored as Huey would have stored them.",
    TOKENS_CLEANED: "Revoke tokens that were deleted after they had done their work.",
    HANDLER_ERRORS: "Exceptions that handlers, sinks, subscribers and jobs of the kit raised.",
    EVENTS_DROPPED: "Events that a background handler never saw.",
    STALE_LOCKS_FOUND: "Locks found whose holder is dead.",
    LOCKS_RELEASED: "Locks released because no living process held them.",
    LOCKS_LOST: "Locks that were gone, or held by another task, before their holder released them.",
    PAGE_ACTIONS: "Changes that people made in the web interface.",
    TASK_SECONDS: "Seconds a worker was busy with an attempt that completed, failed or timed out.",
}

BOUNDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""The upper bounds of the buckets of ``huey_task_duration_seconds``; the last bucket has none."""
