"""TODO huey_signals_kit/dispatch."""
