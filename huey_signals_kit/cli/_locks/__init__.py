"""``huey-signals locks``."""
