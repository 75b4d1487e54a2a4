"""Registries: which handlers listen to which signals, and in which order they run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import NoReturn, TypeVar
from weakref import WeakSet

from ._checks import refuse_unknown, short
from .dispatch.handler import (
    FailureHook,
    Handler,
    HandlerFunction,
    HandlerWrapper,
    make_handler,
    register_wrapper,
    run,
    sort_handlers,
    validate_options,
)
from .event import Event, Predicate
from .runtime.configuration import configuration
from .runtime.log import log_error
from .verdict import Verdict

F = TypeVar("F", bound=HandlerFunction)


def _is_in(registry: Registry, registries: Iterable[Registry]) -> bool:
    """Return whether this very object is among `registries`; subclasses may define ``==``."""
    return any(registry is each for each in registries)


class Registry:
    """Handlers in running order: by descending priority, then in the order of registration.

    Registries compose: after ``a.include(b)``, ``a`` also has the handlers that ``b`` gets later;
    ``a | b`` and ``a.copy()`` are snapshots.

    Args:
        name: A name for ``repr``.
    """

    def __init__(self, name: str | None = None) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"the name of a Registry is a string, got {short(name)}")
        self.name = name
        self._own: dict[Hashable, Handler] = {}
        """Handlers by `Handler.registration`, in the order in which they were registered."""
        self._included: list[Registry] = []
        self._includers: WeakSet[Registry] = WeakSet()
        self._sorted: tuple[Handler, ...] | None = None
        self._listeners: dict[str, tuple[Handler, ...]] = {}
        self._on_change: Callable[[Handler | None], None] | None = None
        self._closed_reason: str | None = None

    def on(
        self,
        *signals: str,
        exceptions: type[BaseException] | tuple[type[BaseException], ...] | None = None,
        tasks: object = None,
        when: Predicate | None = None,
        priority: float = 0,
        background: bool = False,
        name: str | None = None,
        **unknown: NoReturn,
    ) -> Callable[[F], F]:
        """Register the decorated function as a handler.

        The function gets one `Event`. On the signals of a failed attempt (locked, error, canceled,
        timeout, rate-limited) it may return a verdict. An exception that it raises is logged and
        counted, and affects neither the task nor the other handlers.

        Args:
            *signals: Names of Huey's signals; none for every signal.
            exceptions: Only events whose exception is an instance of this class or tuple.
            tasks: Only these tasks: a glob over ``module.name``, a task function, or a list.
            when: Only events for which this function returns a true value.
            priority: Handlers with a higher priority run earlier.
            background: Run the handler on its own thread, so that a slow one does not delay the
                worker; it cannot return a verdict. At most 1000 events wait, each with its
                exception and the local variables of its traceback; the oldest is dropped and
                counted.
            name: The name in logs and counts; by default that of the function.
            **unknown: Refused; the message lists the options.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: An argument has a value that cannot match.
            RuntimeError: The kit of this registry has been uninstalled.
        """
        refuse_unknown("on()", unknown, self.on)
        options = validate_options(signals, exceptions, tasks, when, priority, background, name)

        def register(function: F) -> F:
            self._add(make_handler(function, options))
            return function

        return register

    def add(
        self,
        handler: Handler | HandlerFunction,
        *signals: str,
        exceptions: type[BaseException] | tuple[type[BaseException], ...] | None = None,
        tasks: object = None,
        when: Predicate | None = None,
        priority: float = 0,
        background: bool = False,
        name: str | None = None,
        **unknown: NoReturn,
    ) -> Handler:
        """Register a handler by a plain call; the arguments are those of `on`.

        The same function with the same arguments is registered once.

        Args:
            handler: A function, or a `Handler` of another registry, which keeps its filters.
            *signals: As in `on`.
            exceptions: As in `on`.
            tasks: As in `on`.
            when: As in `on`.
            priority: As in `on`.
            background: As in `on`.
            name: As in `on`.
            **unknown: Refused; the message lists the options.
        """
        refuse_unknown("add()", unknown, self.on)
        options = validate_options(signals, exceptions, tasks, when, priority, background, name)
        if not isinstance(handler, Handler):
            return self._add(make_handler(handler, options))
        if options != validate_options((), None, None, None, 0, False, None):
            raise TypeError(
                f"add() got {handler!r}, which has filters already; pass it alone, or its function"
            )
        return self._add(handler)

    def remove(self, handler: Handler | HandlerFunction | str) -> None:
        """Remove a handler, every registration of a function, or every handler of a name.

        Raises:
            LookupError: The registry has no such handler of its own; handlers of registries that
                it includes are not removed.
        """
        with configuration.lock:
            kept = {
                registration: each
                for registration, each in self._own.items()
                if handler not in (each, each.function, each.name)
            }
            if len(kept) == len(self._own):
                raise LookupError(f"{self!r} has no handler {short(handler)} to remove")
            self._own = kept
            self._changed()

    def include(self, other: Registry) -> None:
        """Also run the handlers of `other`, including those that are added to it later.

        Raises:
            ValueError: `other` contains this registry.
        """
        if not isinstance(other, Registry):
            raise TypeError(f"include() takes a Registry, got {short(other)}")
        with configuration.lock:
            self._check_open(other)
            if _is_in(self, other._with_included()):
                raise ValueError(
                    f"include() would make a circle: {other!r} already contains {self!r}"
                )
            if not _is_in(other, self._included):
                self._included.append(other)
                other._includers.add(self)
                self._changed()

    def exclude(self, other: Registry) -> None:
        """Undo `include`; do nothing if `other` is not included directly."""
        with configuration.lock:
            if _is_in(other, self._included):
                self._included = [each for each in self._included if each is not other]
                other._includers.discard(self)
                self._changed()

    def restore_point(self) -> Callable[[], None]:
        """Return a function that restores the present handlers of this and included registries.

        What was registered, removed or included since is undone.
        """
        with configuration.lock:
            saved = [
                (each, each._own.copy(), each._included.copy()) for each in self._with_included()
            ]

        def restore() -> None:
            with configuration.lock:
                for registry, own, included in saved:
                    for other in registry._included.copy():
                        if not _is_in(other, included):
                            registry.exclude(other)
                    if registry._own != own:
                        registry._own = own
                        registry._changed()

        return restore

    def copy(self) -> Registry:
        """Return a new registry with the handlers that this one has now."""
        return self | Registry()

    def __or__(self, other: Registry) -> Registry:
        if not isinstance(other, Registry):
            return NotImplemented
        both = Registry(" | ".join(each.name for each in (self, other) if each.name) or None)
        both._own = {each.registration: each for each in sort_handlers([*self, *other])}
        return both

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._sorted_handlers())

    def __len__(self) -> int:
        return len(self._sorted_handlers())

    def __bool__(self) -> bool:
        return True  # so that `registry or default` is the registry, even an empty one

    def __contains__(self, handler: object) -> bool:
        return any(handler in (h, h.function, h.name) for h in self._sorted_handlers())

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return f"<Registry{name}: {', '.join(map(repr, self)) or 'empty'}>"

    def listeners(self, signal: str) -> tuple[Handler, ...]:
        """Return the handlers that listen to `signal`, in running order."""
        handlers = self._listeners.get(signal)
        if handlers is None:
            with configuration.lock:
                handlers = tuple(handler for handler in self if handler.listens_to(signal))
                self._listeners[signal] = handlers
        return handlers

    def dispatch(self, event: Event, failed: FailureHook | None = None) -> Verdict | None:
        """Run every handler that matches; return the first verdict in running order, or None.

        This is for registries without a kit, as in tests; a kit runs the handlers by its receiver.
        ``KeyboardInterrupt``, ``SystemExit`` and ``GreenletExit`` are not caught.

        Args:
            event: The event.
            failed: Called with each handler that raised, the event and the exception; by default
                they are logged.
        """
        return run(self.listeners(event.signal), event, failed or _log_failure)

    def watch(self, changed: Callable[[Handler | None], None] | None) -> None:
        """Call a function after every change, here or in a registry that is included here.

        Args:
            changed: Called with the handler that was added, or with None after any other change.
                None ends the calls.
        """
        self._on_change = changed

    def close(self, why: str | None) -> None:
        """Refuse further handlers from now on, unless another registry includes this one.

        Args:
            why: The reason in the `RuntimeError`; None opens the registry again.
        """
        self._closed_reason = why

    def _check_open(self, added: object) -> None:
        if self._closed_reason is not None and not self._includers:
            raise RuntimeError(
                f"{short(added)} would never run: {self._closed_reason}; register it on what "
                "install_handlers(huey) returns"
            )

    def _add(self, handler: Handler) -> Handler:
        with configuration.lock:
            self._check_open(handler)
            known = self._own.setdefault(handler.registration, handler)
            if known is handler:
                self._changed(handler)
        return known

    def _sorted_handlers(self) -> tuple[Handler, ...]:
        handlers = self._sorted
        if handlers is None:
            with configuration.lock:
                registries = self._with_included()
                handlers = sort_handlers(h for each in registries for h in each._own.values())
                self._sorted = handlers
        return handlers

    def _with_included(self) -> list[Registry]:
        """Return this registry and all that it includes, directly or through others."""
        registries = [self]
        for each in registries:
            registries += [other for other in each._included if not _is_in(other, registries)]
        return registries

    def _changed(self, added: Handler | None = None) -> None:
        self._sorted = None
        self._listeners = {}
        for includer in list(self._includers):
            includer._changed(added)
        if self._on_change is not None:
            self._on_change(added)


default_registry = Registry("default")
"""The registry of the module's `on`; the registry of every kit includes it."""

on = default_registry.on


def wrap_handlers(wrapper: HandlerWrapper) -> None:
    """Call every handler of users through `wrapper` from now on, under every kit.

    Frameworks use this to run code before and after each handler. Handlers are not wrapped if it
    was never called.
    """
    with configuration.lock:
        register_wrapper(wrapper)
        default_registry._changed()


def _log_failure(handler: Handler, event: Event, exc: BaseException) -> None:
    fields = {"failed": handler.name, "queue": event.queue, "task": event.task_name}
    log_error("Handler %s failed on %r.", handler.name, event.signal, exc_info=exc, **fields)
