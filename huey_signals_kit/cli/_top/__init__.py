"""``huey-signals top``."""
