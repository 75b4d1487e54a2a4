"""The command ``huey-signals web``: the web page on a server of its own."""
