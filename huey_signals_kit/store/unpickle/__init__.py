"""TODO huey_signals_kit/store/unpickle."""
