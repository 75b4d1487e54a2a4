"""Which tasks this process has taken from the queue or the schedule and not finished."""
