"""The lock over installing kits and registering handlers."""

from __future__ import annotations

import threading

from .fork import reset_in_child


class _Configuration:
    """The lock over all registries and kits of this process.

    There is one lock, not one per registry, because a change runs through every registry that
    includes the changed one: with several locks, two threads could wait for each other.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self.lock = threading.RLock()


configuration = _Configuration()
"""The one lock of this process."""
