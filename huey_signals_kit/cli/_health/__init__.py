"""The command ``huey-signals health``: one line and an exit code, for alerts and probes."""
