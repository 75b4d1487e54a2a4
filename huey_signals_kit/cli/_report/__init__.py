"""The command ``huey-signals report``: what needs attention, what is stored, what runs."""
