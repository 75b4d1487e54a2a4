"""The command ``huey-signals purge``: delete stored errors, or unread results."""
