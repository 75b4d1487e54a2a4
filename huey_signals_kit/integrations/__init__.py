"""TODO huey_signals_kit/integrations."""
