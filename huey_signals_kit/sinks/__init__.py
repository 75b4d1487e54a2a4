"""Where counts go: sinks of one's own, and the built-in ones by name.

A sink of one's own is any object with ``send(changes)``. It is called on a thread of the kit,
never on a worker's path, every ``interval`` seconds (an attribute, 10 without it) and when the
process ends, with a list of `Sample`: what has been added since it last returned. When it
raises, that is logged and counted, and the next call has what this one had; so it does,
without a word, when it returns False.
"""

from ..metrics.names import BOUNDS
from ..metrics.values import Durations, Sample
from .protocol import Sink

__all__ = ["BOUNDS", "Durations", "Sample", "Sink"]
