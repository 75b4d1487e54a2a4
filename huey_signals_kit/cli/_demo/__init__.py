"""The command ``huey-signals demo``: real consumers do the same work with and without the kit."""
