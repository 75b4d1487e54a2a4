"""``huey-signals tokens``."""
