"""The lock over installing and registering."""

from __future__ import annotations

import threading

from .fork import reset_in_child


class _Configuration:
    """The one lock over all registries: a change runs through every registry that includes it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self.lock = threading.RLock()


configuration = _Configuration()
