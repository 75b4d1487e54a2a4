"""The command ``huey-signals locks``: who holds which lock, and how to release it."""
