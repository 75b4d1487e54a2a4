"""The command ``huey-signals purge``: delete stored errors, or results that no caller fetches."""
