"""TODO huey_signals_kit/store/backends."""
