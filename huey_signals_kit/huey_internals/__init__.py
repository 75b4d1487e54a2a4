"""TODO huey_signals_kit/huey_internals."""
