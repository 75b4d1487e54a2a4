"""TODO huey_signals_kit/runtime."""
