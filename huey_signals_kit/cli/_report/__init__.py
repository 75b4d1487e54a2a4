"""The command ``huey-signals report``: what is stored and waiting, and who works on it."""
