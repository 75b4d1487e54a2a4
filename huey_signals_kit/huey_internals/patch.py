"""Methods of one Huey that a kit has put its own around, on that instance alone."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from typing import Any

from .facts import is_own_method

Wrapper = Callable[[Callable[..., Any]], Callable[..., Any]]


class MethodPatch:
    """What stands there, and what was found."""

    def __init__(self, huey: Any) -> None:
        self._huey = huey
        self._originals: dict[str, Any] = {}
        self._patch: dict[str, Any] = {}

    def wrap(self, name: str, wrapper: Wrapper) -> None:
        """Put *around* of what is found around the method *name*."""
        original = getattr(self._huey, name)
        if not is_own_method(self._huey, name, original):
            self._originals[name] = original
        self._patch[name] = wrapper(original)
        setattr(self._huey, name, self._patch[name])

    def remove(self) -> None:
        """Leave all as it was found; a wrapper that other code has put around since stays."""
        for name, placed in self._patch.items():
            if getattr(self._huey, name) is not placed:
                continue
            if name in self._originals:
                setattr(self._huey, name, self._originals[name])
            else:
                delattr(self._huey, name)


Receiver = Callable[..., None]


class SignalConnections:
    """The receivers of one kit on one Huey.

    A receiver has to accept further arguments: a subclass of Huey may add some in ``_emit``.
    """

    def __init__(self, huey: Any) -> None:
        self._huey = huey
        self._connected: dict[Receiver, frozenset[str]] = {}
        self._lists_made: set[str] = set()

    def connect(self, receiver: Receiver, signals: Iterable[str]) -> None:
        """Have *receiver* connected to exactly these *signals*."""
        wanted = frozenset(signals)
        before = self._connected.get(receiver, frozenset())
        self._connected[receiver] = wanted
        receivers = self._huey._signal.receivers
        for signal in sorted(wanted - before):
            if signal not in receivers:
                self._lists_made.add(signal)
            self._huey.signal(signal)(receiver)
        for signal in (before - wanted) & receivers.keys():
            # A new list: Huey may be walking through the old one.
            receivers[signal] = [each for each in receivers[signal] if each != receiver]
            if not receivers[signal] and signal in self._lists_made:
                del receivers[signal]

    def connect_also(self, receiver: Receiver, signals: Iterable[str]) -> None:
        """Connect *receiver* to these *signals* too."""
        self.connect(receiver, self._connected.get(receiver, frozenset()).union(signals))

    def disconnect_all(self) -> None:
        """Disconnect them all."""
        for receiver in self._connected:
            self.connect(receiver, ())


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
