"""Which tasks this process has dequeued, or read from the schedule, and not finished.

Huey knows a task as running only while its function runs. Before that its message is dequeued and
deserialized; after it come the result, hooks, receivers and the parts of a chord, and only then is
the next pipeline stage enqueued. What Huey's scheduler has read from the schedule is stored nowhere
until it is enqueued. A sweep that missed one of these tasks would delete a token that is needed, so
the kit records them: `patch` when Huey dequeues, `claims` in memory, and `tasks` reads them.
"""
