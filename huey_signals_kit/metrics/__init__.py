"""TODO huey_signals_kit/metrics."""
