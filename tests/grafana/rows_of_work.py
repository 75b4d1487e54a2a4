"""The rows of the dashboard about tasks and the processes that run them."""

from __future__ import annotations

from tests.grafana.panels import (
    GREEN,
    ORANGE,
    PER_MINUTE,
    QUEUE,
    RATE,
    RED,
    TASK,
    Panel,
    graph,
    per_minute,
    stat,
    table,
    thresholds,
)

WORKERS = 'worker=~"thread|process|greenlet|other"'
ENDS = "complete|error|locked|revoked|expired|canceled|interrupted|timeout|rate-limited"

OVERVIEW: list[Panel] = [
    stat(
        "Storage",
        "Whether huey-signals export can read the storage of every chosen queue.",
        f"min(huey_up{{{QUEUE}}})",
        names={"1": ("up", GREEN), "0": ("down", RED)},
    ),
    stat(
        "Worker processes",
        "Living processes that run tasks. With -k process, each worker is a process.",
        f'sum(huey_processes{{{QUEUE}, {WORKERS}, state="alive"}})',
        limits=thresholds(RED, (1, GREEN)),
    ),
    stat(
        "Running tasks",
        "Tasks that workers have begun and not finished.",
        f"sum(huey_running_tasks{{{QUEUE}}})",
    ),
    stat(
        "Messages in the queue",
        "Tasks that wait for a worker.",
        f"sum(huey_queue_length{{{QUEUE}}})",
    ),
    stat(
        "Oldest message",
        "How long the oldest message has waited, at least. Alert: HueyMessagesWait.",
        f"max(huey_oldest_message_age_seconds{{{QUEUE}}})",
        unit="s",
        limits=thresholds(GREEN, (300, ORANGE), (600, RED)),
    ),
    stat(
        "Completed",
        "Tasks that ended without an exception, per minute.",
        per_minute("huey_signals_total", "", QUEUE, 'signal="complete"'),
        unit=PER_MINUTE,
        limits=thresholds(GREEN),
        decimals=1,
    ),
    stat(
        "Failed",
        "Attempts that ended with an exception or a timeout, per minute; without lock errors.",
        per_minute("huey_signals_total", "", QUEUE, 'signal=~"error|timeout"'),
        unit=PER_MINUTE,
        limits=thresholds(GREEN, (0.01, ORANGE)),
        decimals=1,
    ),
    stat(
        "Stale locks",
        "Locks of dead processes. No task that needs them can run. Alert: HueyStaleLock.",
        f"sum(huey_locks_stale{{{QUEUE}}})",
        limits=thresholds(GREEN, (1, RED)),
    ),
    graph(
        "Tasks by how they end",
        "Ends of tasks per minute. Locked: another task held the lock.",
        (
            per_minute("huey_signals_total", "signal", TASK, f'signal=~"{ENDS}"'),
            "{{signal}}",
        ),
        unit=PER_MINUTE,
        width=12,
        stacked=True,
        colors={"complete": GREEN, "error": RED, "timeout": "dark-red", "locked": ORANGE},
    ),
    table(
        "Firing alerts",
        "Alerts of alerts.yml that fire now. Each has a section in runbooks.md.",
        'max by (severity, alertname, queue) (ALERTS{alertname=~"Huey.+", '
        'alertstate="firing", queue=~"$queue|"})',
        {"severity": "Severity", "alertname": "Alert", "queue": "Queue"},
        width=12,
        height=8,
    ),
]

TASKS: list[Panel] = [
    graph(
        "Completed, by task",
        "The ten tasks that complete most often.",
        (
            per_minute("huey_signals_total", "task", TASK, 'signal="complete"', most=10),
            "{{task}}",
        ),
        unit=PER_MINUTE,
    ),
    graph(
        "Failed, by task",
        "The ten tasks whose attempts fail most often, by an exception or a timeout.",
        (
            per_minute("huey_signals_total", "task", TASK, 'signal=~"error|timeout"', most=10),
            "{{task}}",
        ),
        unit=PER_MINUTE,
    ),
    graph(
        "Retried and rescheduled",
        "Tasks that Huey retries, and tasks put into the schedule.",
        (
            per_minute(
                "huey_signals_total", "signal", TASK, 'signal=~"retrying|scheduled|enqueued"'
            ),
            "{{signal}}",
        ),
        unit=PER_MINUTE,
    ),
    graph(
        "Duration",
        "How long attempts keep a worker busy: half of them, and 95 and 99 of a hundred, are "
        "shorter. Estimated from buckets of up to 30 minutes.",
        *(
            (
                f"histogram_quantile({share}, sum by (le) "
                f"(rate(huey_task_duration_seconds_bucket{{{TASK}}}{RATE})))",
                name,
            )
            for share, name in (("0.5", "median"), ("0.95", "95 %"), ("0.99", "99 %"))
        ),
        unit="s",
    ),
    graph(
        "Mean duration, by task",
        "The ten tasks that take longest.",
        (
            f"topk(10, sum by (task) (rate(huey_task_duration_seconds_sum{{{TASK}}}{RATE})) "
            f"/ sum by (task) (rate(huey_task_duration_seconds_count{{{TASK}}}{RATE})))",
            "{{task}}",
        ),
        unit="s",
    ),
    graph(
        "Busy workers, by task",
        "How many workers each task keeps busy on average; counted when an attempt ends.",
        (
            f"topk(10, sum by (task) (rate(huey_task_duration_seconds_sum{{{TASK}}}{RATE})))",
            "{{task}}",
        ),
        stacked=True,
    ),
    graph(
        "Errors not stored as usual",
        "Errors that a preset or a handler dropped, or stored for a while, by verdict.",
        (per_minute("huey_results_suppressed_total", "verdict", TASK), "{{verdict}}"),
        unit=PER_MINUTE,
        width=12,
        height=7,
    ),
    graph(
        "Handlers that fail or lose events",
        "Exceptions of handlers, and events that a background handler never saw because its "
        "queue was full. Alert: HueyHandlerFailing.",
        (per_minute("huey_handler_errors_total", "handler", QUEUE, most=10), "{{handler}} failed"),
        (per_minute("huey_events_dropped_total", "handler", QUEUE, most=10), "{{handler}} dropped"),
        unit=PER_MINUTE,
        width=12,
        height=7,
    ),
]

CONSUMERS: list[Panel] = [
    graph(
        "Processes",
        "Processes by kind of worker and by state. Alert: HueyNoConsumer.",
        (
            f"sum by (worker, state) (huey_processes{{{QUEUE}}}) > 0",
            "{{worker}} {{state}}",
        ),
        stacked=True,
        colors={"/ dead$/": RED, "/ unknown$/": ORANGE},
    ),
    graph(
        "Queue and schedule",
        "Messages that wait for a worker, and those that wait for their time.",
        (f"sum by (queue) (huey_queue_length{{{QUEUE}}})", "{{queue}} queue"),
        (f"sum by (queue) (huey_schedule_length{{{QUEUE}}})", "{{queue}} schedule"),
    ),
    graph(
        "How long work waits and runs",
        "The oldest message in the queue, the most overdue one in the schedule, and the task "
        "that has been running for longest. Alerts: HueyMessagesWait, HueyScheduleOverdue.",
        (f"max(huey_oldest_message_age_seconds{{{QUEUE}}})", "oldest message"),
        (f"max(huey_schedule_overdue_seconds{{{QUEUE}}})", "overdue in the schedule"),
        (f"max(huey_oldest_running_task_age_seconds{{{QUEUE}}})", "longest running task"),
        unit="s",
    ),
    graph(
        "Age of the last heartbeat",
        "The oldest heartbeat of a process that is not known to be dead. Each process "
        "writes every 5 seconds. Alert: HueyConsumerSilent, from a minute on.",
        (f"max by (queue) (huey_heartbeat_age_seconds{{{QUEUE}}})", "{{queue}}"),
        unit="s",
        limits=thresholds(GREEN, (60, RED)),
    ),
    graph(
        "Consumers that enqueue the same periodic task",
        "With N, each run happens N times. Alert: HueyTwoSchedulers.",
        (f"max by (queue) (huey_periodic_schedulers{{{QUEUE}}})", "{{queue}}"),
        limits=thresholds(GREEN, (2, RED)),
    ),
    table(
        "Versions",
        "What huey-signals export runs with.",
        f"max by (queue, version, huey_version, storage) (huey_signals_info{{{QUEUE}}})",
        {
            "queue": "Queue",
            "version": "huey-signals-kit",
            "huey_version": "Huey",
            "storage": "Storage",
        },
        width=8,
        height=8,
    ),
]
