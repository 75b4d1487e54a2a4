"""The command ``huey-signals top``: a live view of one queue."""
