"""``huey-signals explain``."""
