"""TODO huey_signals_kit/inflight."""
