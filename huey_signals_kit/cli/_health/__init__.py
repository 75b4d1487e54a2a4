"""``huey-signals health``."""
