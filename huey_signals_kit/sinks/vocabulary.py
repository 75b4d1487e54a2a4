"""The one vocabulary of every sink, in Prometheus' naming: each metric with its labels."""

from __future__ import annotations

from typing import Final

SIGNALS: Final = "huey_signals_total"
LOCK_SKIPS: Final = "huey_lock_skips_total"
SUPPRESSED: Final = "huey_results_suppressed_total"
TOKENS_CLEANED: Final = "huey_tokens_cleaned_total"
HANDLER_ERRORS: Final = "huey_handler_errors_total"

LABELS: Final[dict[str, tuple[str, ...]]] = {
    SIGNALS: ("queue", "task", "signal"),
    LOCK_SKIPS: ("queue", "task", "lock"),
    SUPPRESSED: ("queue", "task", "verdict"),
    TOKENS_CLEANED: ("queue", "by"),
    HANDLER_ERRORS: ("queue", "handler"),
}
