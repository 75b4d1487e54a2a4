"""TODO huey_signals_kit/locks."""
