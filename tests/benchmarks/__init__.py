"""What the kit costs, as a ratio to bare Huey in the same run.

``python -m tests.benchmarks`` from the checkout prints the table; ``--help`` has the rest.

Measured is ``huey.execute(task)``, all that a worker does with a task that it has taken from
the queue: the check for a revoke token, the task itself, its signals, its result, and for the
instruction counts the collection of the garbage that it left. Not measured, since the kit has
no part in it: enqueueing, revoking, dequeueing and flushing the store between two rounds.
Bare and kit are the same Huey with the same tasks; the kit's has `quiet-locks` installed, and
"with sinks" the sinks `memory` and `PrometheusSink`, durations and breadcrumbs as well. "In
background" compares the kit with a handler that takes a second for each event with the kit alone.

"Traced" has Huey instrumented with OpenTelemetry's SDK, whose thread exports to nothing; "no longer
traced" has it instrumented and that undone.

"Own metadata" compares the kit with bare Huey on a class that overrides ``build_error_result``.

Huey's logger is off: formatting a log line costs both sides the same, and would flatter the
kit on the tasks that Huey warns about. Only so do the counts of bare Huey show Huey's own work.

Python and the Redis it talks to share one processor, so that a round trip is a switch between the
two and not the wake-up of another processor, whose cost on a busy machine swings threefold.
"""
