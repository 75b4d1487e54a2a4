"""The rows of the dashboard about locks and the result store."""

from __future__ import annotations

from tests.grafana.panels import (
    BLUE,
    GREEN,
    ORANGE,
    PER_MINUTE,
    QUEUE,
    RED,
    TASK,
    Panel,
    graph,
    per_minute,
    stat,
    thresholds,
)

LOCKS: list[Panel] = [
    graph(
        "Skipped tasks, by lock",
        "Attempts that failed because another task held the lock.",
        (per_minute("huey_lock_skips_total", "lock", TASK, most=10), "{{lock}}"),
        unit=PER_MINUTE,
    ),
    graph(
        "Refused attempts, by lock",
        "Every attempt to acquire a held lock, also by code that catches the lock error.",
        (per_minute("huey_lock_refusals_total", "lock", QUEUE, most=10), "{{lock}}"),
        unit=PER_MINUTE,
    ),
    graph(
        "Locks",
        "Locks in the store, and those whose holder is dead. Alert: HueyStaleLock.",
        (f"sum by (queue) (huey_locks_held{{{QUEUE}}})", "{{queue}} held"),
        (f"sum by (queue) (huey_locks_stale{{{QUEUE}}})", "{{queue}} stale"),
        colors={"/ stale$/": RED},
    ),
    graph(
        "Age of the oldest lock",
        "How long the oldest lock, and the oldest one of a dead process, have been held. "
        "Alert: HueyLockBusy, from an hour on.",
        (f"max by (queue) (huey_oldest_lock_age_seconds{{{QUEUE}}})", "{{queue}} held"),
        (f"max by (queue) (huey_oldest_stale_lock_age_seconds{{{QUEUE}}})", "{{queue}} stale"),
        unit="s",
        width=12,
        limits=thresholds(GREEN, (3600, RED)),
        colors={"/ stale$/": RED},
    ),
    graph(
        "Stale, released and lost locks",
        "Locks found with a dead holder, released because of that, and lost by a process that "
        "was at work under them. Alert: HueyLocksLost.",
        *(
            (per_minute(f"huey_locks_{what}_total", "lock", QUEUE, most=10), f"{{{{lock}}}} {what}")
            for what in ("released", "lost")
        ),
        (
            per_minute("huey_stale_locks_found_total", "lock", QUEUE, most=10),
            "{{lock}} found stale",
        ),
        unit=PER_MINUTE,
        width=12,
        colors={"/ lost$/": RED},
    ),
]

STORE: list[Panel] = [
    graph(
        "Size, by kind",
        "Bytes of keys and values in the result store. Alert: HueyStoreGrowing.",
        (f"sum by (kind) (huey_store_bytes{{{QUEUE}}})", "{{kind}}"),
        unit="bytes",
        width=12,
        stacked=True,
        height=9,
    ),
    graph(
        "Keys, by kind",
        "Keys in the result store.",
        (f"sum by (kind) (huey_store_keys{{{QUEUE}}})", "{{kind}}"),
        width=12,
        stacked=True,
        height=9,
    ),
    graph(
        "Revoke tokens",
        "Live: the task may still run. Custom: an id of your own, which may be enqueued at any "
        "time. Orphaned: no trace of the task; marked ones are deleted by a later sweep. "
        "Alert: HueyTokensOrphaned.",
        (f"sum by (state) (huey_tokens{{{QUEUE}}})", "{{state}}"),
        (f"sum(huey_tokens_marked{{{QUEUE}}})", "marked"),
        width=12,
        colors={"orphaned": ORANGE, "marked": BLUE},
    ),
    graph(
        "Deleted tokens",
        "Tokens that were deleted after a skip, or by a sweep.",
        (per_minute("huey_tokens_cleaned_total", "by", QUEUE), "{{by}}"),
        unit=PER_MINUTE,
        width=12,
    ),
    stat(
        "Since the last sweep",
        "Time since the last sweep of tokens ended; of several queues, the longest. "
        "Alert: HueySweepOverdue.",
        f"time() - min(huey_last_sweep_timestamp_seconds{{{QUEUE}}} > 0)",
        unit="s",
        limits=thresholds(GREEN, (2 * 86400, ORANGE)),
        width=6,
        decimals=None,
        missing="none known",
    ),
    stat(
        "Age of these figures",
        "Time since export last read the whole store: at most --store-interval, and the time "
        "that this takes.",
        f"time() - min(huey_report_timestamp_seconds{{{QUEUE}}})",
        unit="s",
        limits=thresholds(GREEN, (3600, ORANGE)),
        width=6,
    ),
    stat(
        "Time to read the store",
        "Seconds that export needs to read the whole store; it reads in small batches.",
        f"max(huey_report_seconds{{{QUEUE}}})",
        unit="s",
        width=6,
        decimals=None,
    ),
    stat(
        "Unreadable records",
        "Records of processes that cannot be read. Their counts are missing, and nothing is "
        "swept; huey-signals report names them.",
        f"sum(huey_ledger_unreadable_records{{{QUEUE}}})",
        limits=thresholds(GREEN, (1, ORANGE)),
        width=6,
    ),
]
