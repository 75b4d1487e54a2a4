"""What a worker of a consumer does when it starts and when it stops."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

_NAME = "huey_signals_kit"


class WorkerHooks:
    """Registers *started* and *stopped* with Huey, which calls them in every worker.

    *stopped* is told whether the process ends with the worker: one that Huey forked does, by
    ``os._exit``, so that ``atexit`` does not run there.
    """

    def __init__(
        self, huey: Any, started: Callable[[], None], stopped: Callable[[bool], None]
    ) -> None:
        def start() -> None:
            started()

        def stop() -> None:
            stopped(multiprocessing.parent_process() is not None)

        self._hooks = [(huey._startup, start), (huey._shutdown, stop)]

    def install(self) -> None:
        """Put the hooks in; they have a name of their own, as Huey keys them by name."""
        for hooks, hook in self._hooks:
            hooks[_NAME] = hook

    def uninstall(self) -> None:
        """Take out those that are still ours."""
        for hooks, hook in self._hooks:
            if hooks.get(_NAME) is hook:
                del hooks[_NAME]
