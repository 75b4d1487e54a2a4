"""The demo: real consumers do the same work twice, on bare Huey and with the kit."""
