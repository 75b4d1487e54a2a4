"""The handlers of the app."""

from huey_signals_kit import on, register_preset
from tests.django.suite import objects

register_preset("of-the-suite")(objects.preset)
heard = []


@on("complete")
def hear(event):
    """Record that a task has completed."""
    heard.append(event.task_name)
