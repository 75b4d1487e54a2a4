"""The command ``huey-signals explain``: where a task is, or why it does not run."""
