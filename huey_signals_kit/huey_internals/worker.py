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

        self._huey = huey
        self._hooks: dict[str, Callable[[], None]] = {"_startup": start, "_shutdown": stop}

    # Each time a new dict: this may be one of the hooks that Huey is going through.

    def install(self) -> None:
        """Put the hooks in; they have a name of their own, as Huey keys them by name."""
        for kind, hook in self._hooks.items():
            setattr(self._huey, kind, {**getattr(self._huey, kind), _NAME: hook})

    def uninstall(self) -> None:
        """Take out those that are still ours."""
        for kind, hook in self._hooks.items():
            hooks = getattr(self._huey, kind)
            if hooks.get(_NAME) is hook:
                rest = {name: each for name, each in hooks.items() if name != _NAME}
                setattr(self._huey, kind, rest)
