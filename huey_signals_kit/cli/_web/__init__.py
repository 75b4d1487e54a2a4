"""The command ``huey-signals web``: the web interface on a server of its own."""
