"""``huey-signals report``."""
