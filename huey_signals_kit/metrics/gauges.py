"""Names, labels and help of the gauges, which ``huey-signals export`` reads from the storage.

The first label is always the queue. A sink in a consumer shows only `INFO`.
"""

from __future__ import annotations

from typing import Final

UP: Final = "huey_up"
INFO: Final = "huey_signals_info"
UNREADABLE: Final = "huey_ledger_unreadable_records"
PROCESSES: Final = "huey_processes"
HEARTBEAT_AGE: Final = "huey_heartbeat_age_seconds"
PERIODIC: Final = "huey_periodic_schedulers"
RUNNING: Final = "huey_running_tasks"
RUNNING_AGE: Final = "huey_oldest_running_task_age_seconds"
QUEUED: Final = "huey_queue_length"
QUEUED_AGE: Final = "huey_oldest_message_age_seconds"
SCHEDULED: Final = "huey_schedule_length"
OVERDUE: Final = "huey_schedule_overdue_seconds"
LAST_SWEEP: Final = "huey_last_sweep_timestamp_seconds"
LOCKS: Final = "huey_locks_held"
STALE_LOCKS: Final = "huey_locks_stale"
LOCK_AGE: Final = "huey_oldest_lock_age_seconds"
STALE_LOCK_AGE: Final = "huey_oldest_stale_lock_age_seconds"
TOKENS: Final = "huey_tokens"
MARKED: Final = "huey_tokens_marked"
KEYS: Final = "huey_store_keys"
BYTES: Final = "huey_store_bytes"
REPORT_TIME: Final = "huey_report_timestamp_seconds"
REPORT_SECONDS: Final = "huey_report_seconds"

WORKERS: Final = ("thread", "process", "greenlet", "scheduler", "none")
"""The values of the label `worker`; ``other`` is added for a record with another kind."""
STATES: Final = ("alive", "dead", "unknown")
"""The values of the label `state` of processes."""
TOKEN_STATES: Final = ("live", "orphaned", "custom")
"""The values of the label `state` of tokens."""

GAUGE_LABELS: Final[dict[str, tuple[str, ...]]] = {
    UP: ("queue",),
    INFO: ("queue", "version", "huey_version", "storage"),
    UNREADABLE: ("queue",),
    PROCESSES: ("queue", "worker", "state"),
    HEARTBEAT_AGE: ("queue",),
    PERIODIC: ("queue",),
    RUNNING: ("queue",),
    RUNNING_AGE: ("queue",),
    QUEUED: ("queue",),
    QUEUED_AGE: ("queue",),
    SCHEDULED: ("queue",),
    OVERDUE: ("queue",),
    LAST_SWEEP: ("queue",),
    LOCKS: ("queue",),
    STALE_LOCKS: ("queue",),
    LOCK_AGE: ("queue",),
    STALE_LOCK_AGE: ("queue",),
    TOKENS: ("queue", "state"),
    MARKED: ("queue",),
    KEYS: ("queue", "kind"),
    BYTES: ("queue", "kind"),
    REPORT_TIME: ("queue",),
    REPORT_SECONDS: ("queue",),
}
"""The labels of each gauge."""

GAUGE_HELP: Final[dict[str, str]] = {
    UP: "Whether the storage of the queue can be read.",
    INFO: "Versions of the kit and of Huey, and the class of the storage; always 1.",
    UNREADABLE: "Records of processes that cannot be read; their counts are missing.",
    PROCESSES: "Processes with a record in the ledger, by kind of worker and by state.",
    HEARTBEAT_AGE: "Age in seconds of the oldest heartbeat among processes that have workers or "
    "locks and are not known to be dead.",
    PERIODIC: "Living consumers that enqueue the same periodic task; with N, each run happens N "
    "times.",
    RUNNING: "Tasks that are running in processes that are not known to be dead.",
    RUNNING_AGE: "Seconds that the longest running task has been running; 0 if none is.",
    QUEUED: "Messages in the queue.",
    QUEUED_AGE: "Seconds that the oldest message has been in the queue, at least: since this "
    "process first saw it there.",
    SCHEDULED: "Messages in the schedule.",
    OVERDUE: "Seconds since the most overdue message of the schedule was due; 0 if none is.",
    LAST_SWEEP: "Unix time of the end of the last sweep of tokens; 0 if none is known.",
    LOCKS: "Locks in the store, with or without a known holder.",
    STALE_LOCKS: "Locks whose holder's process is dead.",
    LOCK_AGE: "Seconds since the oldest lock with a known holder was acquired; 0 if no lock has a "
    "known holder.",
    STALE_LOCK_AGE: "Seconds since the oldest stale lock was acquired; 0 if there is none.",
    TOKENS: "Revoke tokens in the store, by state.",
    MARKED: "Orphaned tokens that a sweep has marked, and a later one will delete.",
    KEYS: "Keys in the store.",
    BYTES: "Bytes of the keys in the store and of their values.",
    REPORT_TIME: "Unix time of the end of the last read of the whole store.",
    REPORT_SECONDS: "Seconds that the last read of the whole store took.",
}
