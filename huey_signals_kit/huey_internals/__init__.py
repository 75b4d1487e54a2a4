"""Everything that relies on Huey beyond its documented interface, for Huey 2.5 and later."""
