"""Sinks: where counts go. Pass your own to ``sinks=``, or a built-in one by its name.

Your own sink is any object with a method ``send(changes)``. It is called soon after the first
counts, then at most every `interval` seconds (an attribute; 10 if missing) while there are new
counts, and when the process ends, always on a thread of the kit, never on a
worker. `changes` is a list of `Sample`: what was added since the last call that succeeded. If
`send` raises an exception, it is logged and counted, and the next call gets these changes too. If
it returns False, the next call gets them too, and nothing is logged.

To add a built-in sink, write a module with a class that is a `Sink` or a `PullSink` (see
`protocol`), and list it in `configured`.
"""

from ..metrics.names import BOUNDS
from ..metrics.values import Durations, Sample
from .protocol import Sink

__all__ = ["BOUNDS", "Durations", "Sample", "Sink"]
