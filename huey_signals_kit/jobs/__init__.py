"""TODO huey_signals_kit/jobs."""
