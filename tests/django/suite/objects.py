"""Objects that settings name by their dotted path."""

from huey_signals_kit import Registry
from huey_signals_kit.handlers import count_lock_skips

registry = Registry("of the suite")
number = 3


class Busy(Exception):
    """A lock error of the project."""


class Sink:
    """A sink that takes no arguments."""

    def send(self, changes):
        """Send nothing."""


class BrokenSink(Sink):
    """A sink whose constructor raises."""

    def __init__(self):
        """Fail."""
        raise ConnectionError("no server")


def clean(event):
    """Return whether a token is deleted."""
    return False


def preset(given):
    """Fill a preset."""
    given.add(count_lock_skips, "locked")
