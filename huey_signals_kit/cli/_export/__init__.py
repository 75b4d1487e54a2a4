"""``huey-signals export``: the whole queue for Prometheus, from one process."""
