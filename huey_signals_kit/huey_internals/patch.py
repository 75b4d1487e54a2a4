"""Patch one Huey instance, and leave it later as it was found.

Three things are patched: methods (`MethodPatch`), receivers of signals (`SignalConnections`), and
the hooks of workers (`WorkerHooks`). Other code may patch the same instance before or after the
kit. So each class removes only what it has added itself, and keeps what it found. A kit that is
suspended and resumed later finds its place again: `MethodPatch.wrap` and `CallOrder`.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from typing import Any

from .facts import is_own_method

Wrapper = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Takes the original method; returns the function that replaces it."""

Receiver = Callable[..., None]

HOOKS = ("_startup", "_shutdown")
"""The attributes of a Huey that have the hooks of its workers, by name."""

_HOOK_NAME = "huey_signals_kit"


class MethodPatch:
    """Methods that are replaced on one Huey instance, but not on its class."""

    def __init__(self, huey: Any) -> None:
        self._huey = huey
        self._originals: dict[str, Any] = {}
        """Replaced attributes that other code had set on the instance."""
        self._wrappers: dict[str, Any] = {}
        self._covered: dict[str, Any] = {}
        """What `remove` has found in place of a wrapper: other code has wrapped it again."""

    def wrap(self, name: str, wrapper: Wrapper) -> None:
        """Replace the method `name` by ``wrapper(original)``.

        Do nothing if the wrapper of an earlier call is still there, such as below one of other
        code that `remove` has left.
        """
        original = getattr(self._huey, name)
        if original is self._covered.pop(name, None) or original is self._wrappers.get(name):
            return
        if is_own_method(self._huey, name, original):
            self._originals.pop(name, None)
        else:
            self._originals[name] = original
        self._wrappers[name] = wrapper(original)
        setattr(self._huey, name, self._wrappers[name])

    def remove(self) -> None:
        """Restore every method; if other code has wrapped it again since, leave that wrapper."""
        for name, wrapper in self._wrappers.copy().items():
            current = getattr(self._huey, name)
            if current is not wrapper:
                self._covered[name] = current
                continue
            del self._wrappers[name]
            if name in self._originals:
                setattr(self._huey, name, self._originals[name])
            else:
                delattr(self._huey, name)


class SignalConnections:
    """The receivers of one kit on one Huey.

    A receiver has to accept further arguments: a subclass of Huey may add some in ``_emit``.
    """

    def __init__(self, huey: Any) -> None:
        self._huey = huey
        self._connected: dict[Receiver, frozenset[str]] = {}
        self._added_signals: set[str] = set()
        """Signals that had no list of receivers before."""

    def connect(self, receiver: Receiver, signals: Iterable[str]) -> None:
        """Connect `receiver` to exactly these signals; disconnect it from all others."""
        wanted = frozenset(signals)
        before = self._connected.get(receiver, frozenset())
        self._connected[receiver] = wanted
        receivers = self._huey._signal.receivers
        for signal in sorted(wanted - before):
            if signal not in receivers:
                self._added_signals.add(signal)
            self._huey.signal(signal)(receiver)
        for signal in (before - wanted) & receivers.keys():
            # A new list, because Huey may be iterating over the present one.
            receivers[signal] = [other for other in receivers[signal] if other != receiver]
            if not receivers[signal] and signal in self._added_signals:
                del receivers[signal]

    def connect_also(self, receiver: Receiver, signals: Iterable[str]) -> None:
        """Connect `receiver` to these signals too."""
        self.connect(receiver, self._connected.get(receiver, frozenset()).union(signals))

    def disconnect_all(self) -> None:
        """Disconnect every receiver."""
        for receiver in self._connected:
            self.connect(receiver, ())


class WorkerHooks:
    """The start and stop hooks of one kit, which Huey calls in every worker.

    Args:
        huey: The Huey.
        on_start: Called when a worker starts.
        on_stop: Called when a worker stops, with whether the process ends with it. A process that
            Huey forked does: it ends by ``os._exit``, so ``atexit`` does not run there.
    """

    def __init__(
        self, huey: Any, on_start: Callable[[], None], on_stop: Callable[[bool], None]
    ) -> None:
        def start() -> None:
            on_start()

        def stop() -> None:
            on_stop(multiprocessing.parent_process() is not None)

        self._huey = huey
        self._hooks: dict[str, Callable[[], None]] = dict(zip(HOOKS, (start, stop), strict=True))

    def install(self) -> None:
        """Add the hooks, under a name of their own because Huey keys hooks by name.

        The dict is replaced, not changed, because the caller may be a hook over which Huey is
        iterating.
        """
        for kind, hook in self._hooks.items():
            setattr(self._huey, kind, {**getattr(self._huey, kind), _HOOK_NAME: hook})

    def uninstall(self) -> None:
        """Remove the hooks, unless another kit has replaced them."""
        for kind, hook in self._hooks.items():
            hooks = getattr(self._huey, kind)
            if hooks.get(_HOOK_NAME) is hook:
                others = {name: other for name, other in hooks.items() if name != _HOOK_NAME}
                setattr(self._huey, kind, others)


class CallOrder:
    """The order in which one Huey calls its receivers and hooks, to restore it later.

    Args:
        huey: The Huey.
    """

    def __init__(self, huey: Any) -> None:
        self._huey = huey
        self._receivers = {signal: [*each] for signal, each in huey._signal.receivers.items()}
        self._hooks = {kind: [*getattr(huey, kind)] for kind in HOOKS}

    def restore(self, new_in_gaps: bool = False) -> None:
        """Put every receiver and hook back in its place.

        Args:
            new_in_gaps: Whether what was added since comes in the place of what is gone; by
                default it comes last.
        """
        receivers = self._huey._signal.receivers
        for signal, before in self._receivers.items():
            if receivers.get(signal):
                receivers[signal] = _in_order(before, receivers[signal], new_in_gaps)
        for kind, names in self._hooks.items():
            hooks = getattr(self._huey, kind)
            order = _in_order(names, hooks, new_in_gaps)
            setattr(self._huey, kind, {name: hooks[name] for name in order})


def _in_order(before: Iterable[Any], now: Iterable[Any], new_in_gaps: bool) -> list[Any]:
    """Return the items of `now` in the order of `before`.

    Args:
        before: The items that were there before.
        now: The items.
        new_in_gaps: Whether new items replace the first one that is gone; else they come last.
    """
    new, kept, gap = list(now), [], None
    for item in before:
        if item in new:
            new.remove(item)
            kept.append(item)
        elif gap is None:
            gap = len(kept)
    if gap is not None and new_in_gaps:
        return [*kept[:gap], *new, *kept[gap:]]
    return kept + new
