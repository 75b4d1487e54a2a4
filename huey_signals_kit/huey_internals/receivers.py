"""Connects the kit's receivers to Huey's signals, and leaves the lists as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Receiver = Callable[..., None]


class Receivers:
    """The receivers of one kit on one Huey.

    A receiver has to accept further arguments: a subclass of Huey may add some in ``_emit``.
    """

    def __init__(self, huey: Any) -> None:
        self._huey = huey
        self._connected: dict[Receiver, frozenset[str]] = {}
        self._lists_made: set[str] = set()

    def listen(self, receiver: Receiver, signals: Iterable[str]) -> None:
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

    def listen_also(self, receiver: Receiver, signals: Iterable[str]) -> None:
        """Connect *receiver* to these *signals* too."""
        self.listen(receiver, self._connected.get(receiver, frozenset()).union(signals))

    def leave(self) -> None:
        """Disconnect them all."""
        for receiver in self._connected:
            self.listen(receiver, ())
