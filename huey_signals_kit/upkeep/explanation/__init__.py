"""TODO huey_signals_kit/upkeep/explanation."""
