"""Who listens to what, and in which order."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeVar
from weakref import WeakSet

from ._checks import listed, name_of, short
from ._failures import log
from ._filters import (
    TaskFilter,
    checked_call,
    checked_exceptions,
    checked_priority,
    checked_signals,
    checked_tasks,
)
from ._fork import reset_in_child
from ._huey_facts import DECIDING
from .event import Event
from .verdict import Verdict

HandlerFunction = Callable[[Event], "Verdict | None"]
FailureHook = Callable[["Handler", Event, Exception], None]
F = TypeVar("F", bound=Callable[..., Any])

_order = itertools.count()


@dataclass(frozen=True, eq=False)
class Handler:
    """A function with its filters, as ``on`` registered it; `Registry` makes these."""

    function: HandlerFunction
    signals: frozenset[str] | None
    exceptions: tuple[type[BaseException], ...] | None
    tasks: TaskFilter | None
    when: Callable[[Event], object] | None
    priority: float
    name: str
    order: int

    def __repr__(self) -> str:
        parts = [f"on {'/'.join(sorted(self.signals)) if self.signals else 'every signal'}"]
        if self.exceptions:
            parts.append(f"exceptions={'/'.join(each.__name__ for each in self.exceptions)}")
        if self.tasks:
            parts.append(f"tasks={'/'.join(self.tasks.spec)}")
        if self.when:
            parts.append(f"when={name_of(self.when)}")
        if self.priority:
            parts.append(f"priority={self.priority}")
        return f"<{self.name} {' '.join(parts)}>"

    def __call__(self, event: Event) -> Verdict | None:
        """Run the function if the event passes every filter."""
        if self.exceptions is not None and not isinstance(event.exception, self.exceptions):
            return None
        if self.tasks is not None and not self.tasks(event.task):
            return None
        if self.when is not None and not self.when(event):
            return None
        answer = self.function(event)
        if answer is not None:
            self._check(answer)
        return answer

    def _check(self, answer: object) -> None:
        if not isinstance(answer, Verdict):
            raise TypeError(
                f"handler {self.name} returned {short(answer)}, which is no verdict; "
                "return KEEP, DROP or None (from huey_signals_kit)"
            )
        if self.signals is not None and not self.signals & DECIDING:
            raise TypeError(
                f"handler {self.name} returned {answer!r}, but listens only to "
                f"{listed(self.signals)}: a verdict decides on {listed(DECIDING)}"
            )

    def same_as(self, other: Handler) -> bool:
        """Whether both were registered with the same arguments."""
        names = (each.name for each in fields(self) if each.name != "order")
        return all(getattr(self, name) == getattr(other, name) for name in names)


class _Structure:
    """The one lock over all registries: a change runs through every registry that includes it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self.lock = threading.RLock()


structure = _Structure()


class Registry:
    """Handlers in running order: higher ``priority`` first, equals as they were registered.

    Registries compose: ``a.include(b)`` is live, ``a | b`` and ``a.copy()`` are snapshots.
    *name* is for reading only.
    """

    def __init__(self, name: str | None = None) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"the name of a Registry is a string, got {short(name)}")
        self.name = name
        self._own: list[Handler] = []
        self._included: list[Registry] = []
        self._includers: WeakSet[Registry] = WeakSet()
        self._running: tuple[Handler, ...] | None = None
        self._routes: dict[str, tuple[Handler, ...]] = {}
        self._changed_hook: Callable[[], None] | None = None

    def on(
        self,
        *signals: str,
        exceptions: type[BaseException] | tuple[type[BaseException], ...] | None = None,
        tasks: object = None,
        when: Callable[[Event], object] | None = None,
        priority: float = 0,
        name: str | None = None,
    ) -> Callable[[F], F]:
        """Register the decorated function for *signals*, or for every signal when none is named.

        *exceptions*: only events whose exception is an instance. *tasks*: a glob over
        ``module.name``, a task function, or a list of these. *when*: a predicate over the
        event. Higher *priority* runs earlier. *name* stands in logs and counts.

        The function takes one `Event`. It may return a verdict, which counts for signals of a
        failed attempt (locked, error, canceled, timeout, rate-limited) and nowhere else.
        What it raises is logged and counted, and disturbs neither the task nor other handlers.
        """
        options = _read_options(signals, exceptions, tasks, when, priority, name)

        def register(function: F) -> F:
            self._add(_make_handler(function, options))
            return function

        return register

    def add(
        self,
        handler: Handler | HandlerFunction,
        *signals: str,
        exceptions: type[BaseException] | tuple[type[BaseException], ...] | None = None,
        tasks: object = None,
        when: Callable[[Event], object] | None = None,
        priority: float = 0,
        name: str | None = None,
    ) -> Handler:
        """`on` as a plain call; also takes a `Handler` of another registry as it is.

        The same function with the same arguments is registered once.
        """
        options = _read_options(signals, exceptions, tasks, when, priority, name)
        if not isinstance(handler, Handler):
            return self._add(_make_handler(handler, options))
        if options != _read_options((), None, None, None, 0, None):
            raise TypeError(f"add() got {handler!r}, which has its filters, and filters besides")
        return self._add(handler)

    def remove(self, handler: Handler | HandlerFunction | str) -> None:
        """Take out a handler, every registration of a function, or all of a name.

        ``LookupError`` when this registry itself (not one that it includes) has none.
        """
        with structure.lock:
            kept = [h for h in self._own if handler not in (h, h.function, h.name)]
            if len(kept) == len(self._own):
                raise LookupError(f"{self!r} has no handler {short(handler)} to remove")
            self._own = kept
            self._changed()

    def include(self, other: Registry) -> None:
        """Run the handlers of *other* too, also those that are added to it later."""
        if not isinstance(other, Registry):
            raise TypeError(f"include() takes a Registry, got {short(other)}")
        with structure.lock:
            if self in other._closure():
                raise ValueError(
                    f"include() would make a circle: {other!r} already contains {self!r}"
                )
            if other not in self._included:
                self._included.append(other)
                other._includers.add(self)
                self._changed()

    def copy(self) -> Registry:
        """A registry of its own with the handlers of this moment."""
        return self | Registry()

    def __or__(self, other: Registry) -> Registry:
        if not isinstance(other, Registry):
            return NotImplemented
        both = Registry(" | ".join(each.name for each in (self, other) if each.name) or None)
        both._own = list(dict.fromkeys([*self, *other]))
        return both

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._in_order())

    def __len__(self) -> int:
        return len(self._in_order())

    def __bool__(self) -> bool:
        return True  # an empty registry is still one: `registry or default` must not lie

    def __contains__(self, handler: object) -> bool:
        return any(handler in (h, h.function, h.name) for h in self._in_order())

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return f"<Registry{name}: {', '.join(map(repr, self)) or 'empty'}>"

    def listeners(self, signal: str) -> tuple[Handler, ...]:
        """The handlers of *signal*, in running order."""
        found = self._routes.get(signal)
        if found is None:
            with structure.lock:
                found = tuple(h for h in self if h.signals is None or signal in h.signals)
                self._routes[signal] = found
        return found

    def dispatch(self, event: Event, failed: FailureHook | None = None) -> Verdict | None:
        """Run every matching handler; the first verdict in running order, or None.

        *failed* is told of each handler that raised; without it, it is logged.
        ``KeyboardInterrupt``, ``SystemExit`` and their like pass through.
        """
        verdict = None
        for handler in self.listeners(event.signal):
            try:
                answer = handler(event)
            except Exception as exc:
                (failed or _log_failure)(handler, event, exc)
            else:
                verdict = answer if verdict is None else verdict
        return verdict

    def watch(self, changed: Callable[[], None] | None) -> None:
        """Call *changed* after every change, here or in a registry included here; None stops."""
        self._changed_hook = changed

    def _add(self, handler: Handler) -> Handler:
        with structure.lock:
            same = next((h for h in self._own if h.same_as(handler)), None)
            if same is None:
                self._own = [*self._own, handler]
                self._changed()
        return same or handler

    def _in_order(self) -> tuple[Handler, ...]:
        running = self._running
        if running is None:
            with structure.lock:
                found = {h: None for each in self._closure() for h in each._own}
                running = tuple(sorted(found, key=lambda h: (-h.priority, h.order)))
                self._running = running
        return running

    def _closure(self) -> list[Registry]:
        found = [self]
        for each in found:
            found += [other for other in each._included if other not in found]
        return found

    def _changed(self) -> None:
        self._running = None
        self._routes = {}
        for includer in list(self._includers):
            includer._changed()
        if self._changed_hook is not None:
            self._changed_hook()


default_registry = Registry("default")
"""Where the module's `on` registers; every kit includes it."""

on = default_registry.on


def _log_failure(handler: Handler, event: Event, exc: Exception) -> None:
    log.error("Handler %s failed on %r.", handler.name, event.signal, exc_info=exc)


def _read_options(
    signals: tuple[object, ...],
    exceptions: object,
    tasks: object,
    when: object,
    priority: object,
    name: object,
) -> dict[str, Any]:
    if name is not None and not (isinstance(name, str) and name.strip()):
        raise TypeError(f"name= of on() takes a string with something in it, got {short(name)}")
    return {
        "signals": checked_signals(signals),
        "exceptions": checked_exceptions(exceptions),
        "tasks": checked_tasks(tasks),
        "when": None if when is None else checked_call(when, "when= of on()"),
        "priority": checked_priority(priority),
        "name": name,
    }


def _make_handler(function: object, options: dict[str, Any]) -> Handler:
    checked = checked_call(function, "the handler of on()")
    name = options["name"] or name_of(checked)
    return Handler(checked, **{**options, "name": name}, order=next(_order))
