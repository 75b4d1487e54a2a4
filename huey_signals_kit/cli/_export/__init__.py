"""The command ``huey-signals export``: metrics of a whole queue for Prometheus."""
