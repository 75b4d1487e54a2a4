"""TODO huey_signals_kit/cli/_locks."""
