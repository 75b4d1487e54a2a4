"""Handlers: functions with filters; `run` calls several in order and returns the first verdict."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from types import MethodType
from typing import Any, NoReturn

from .._checks import listed, name_of, short, truth_of, validate_call, validate_flag
from ..event import Event, Predicate
from ..huey_internals.facts import FAILURE_SIGNALS
from ..metrics.names import EVENTS_DROPPED
from ..runtime.background import Background
from ..runtime.log import is_exit
from ..verdict import Verdict
from .filters import (
    TaskFilter,
    validate_exceptions,
    validate_handler,
    validate_priority,
    validate_signals,
    validate_tasks,
)

HandlerFunction = Callable[[Event], "Verdict | None"]
FailureHook = Callable[["Handler", Event, BaseException], None]
"""Called with a handler that raised, the event and the exception."""
Submitted = tuple["Handler", Event, FailureHook]
"""An event for a handler that runs in the background."""
HandlerWrapper = Callable[[Callable[[Event], Any], bool], Callable[[Event], Any]]
"""Returns what is called in place of a function; the flag says whether it is a background handler.
"""

_registration_numbers = itertools.count()
_wrappers: list[HandlerWrapper] = []


@dataclass(frozen=True, eq=False)
class Handler:
    """A function with its filters, made by `Registry.on`."""

    function: HandlerFunction
    signals: frozenset[str] | None
    """The signals to listen to; None for every signal."""
    exceptions: tuple[type[BaseException], ...] | None
    tasks: TaskFilter | None
    when: Predicate | None
    priority: float
    name: str
    order: int
    """The number of the registration in this process; handlers of one priority run by it."""
    filtered: bool
    """Whether there are filters besides the signals, so that `matches` has to be called."""
    decides: bool
    """Whether the handler listens to a signal on which a verdict decides something."""
    only_lock_errors: bool
    """Whether the function does nothing on errors that are not lock errors."""
    background: Background[Submitted] | None
    """Runs the function on its own thread; None if a worker runs it."""
    call: HandlerFunction
    """What is called with an event: `function`, or what a registered wrapper made of it."""

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
        if self.background:
            parts.append("background=True")
        return f"<{self.name} {' '.join(parts)}>"

    def matches(self, event: Event) -> bool:
        """Return whether an event of one of the handler's signals passes every filter."""
        if self.exceptions is not None and not isinstance(event.exception, self.exceptions):
            return False
        if self.tasks is not None and not self.tasks(event.task):
            return False
        if self.when is None:
            return True
        answer = self.when(event)
        return answer if answer is True or answer is False else truth_of(answer, "when= of on()")

    def listens_to(self, signal: str) -> bool:
        """Return whether the handler listens to `signal`."""
        return self.signals is None or signal in self.signals

    def without_task_filter(self) -> Handler:
        """Return the handler for tasks that have passed its filter of tasks."""
        if self.tasks is None:
            return self
        filtered = self.exceptions is not None or self.when is not None
        return replace(self, tasks=None, filtered=filtered)

    @property
    def is_builtin(self) -> bool:
        """Whether the function is part of this package."""
        return (getattr(self.function, "__module__", None) or "").startswith("huey_signals_kit.")

    @property
    def may_return_expire(self) -> bool:
        """Whether the handler is a user's own, so that it may return `expire`."""
        return self.decides and self.background is None and not self.is_builtin

    @property
    def registration(self) -> Hashable:
        """A key that is equal for handlers registered with the same arguments."""
        return (
            self._identity(self.function),
            self._identity(self.when),
            self.signals,
            self.exceptions,
            self.tasks,
            self.priority,
            self.name,
            bool(self.background),
        )

    @staticmethod
    def _identity(function: object) -> Hashable:
        try:
            hash(function)
        except TypeError:
            return id(function)
        return function

    def suppresses_lock_errors(self, event: Event) -> bool:
        """Return whether it is known in advance that the lock error will not be stored."""
        suppresses = _suppression(self.function)
        return bool(suppresses and (suppresses is True or suppresses(event)))

    def reject_verdict(self, answer: object) -> NoReturn:
        """Raise `TypeError` for a return value that is not a verdict, or that decides nothing."""
        if not isinstance(answer, Verdict):
            raise TypeError(
                f"handler {self.name} returned {short(answer)}, which is not a verdict; "
                "return KEEP, DROP, expire(seconds) or None (from huey_signals_kit)"
            )
        if self.background is not None:
            raise TypeError(
                f"handler {self.name} returned {answer!r}, but runs in the background, "
                "after Huey has stored the error; remove background=True"
            )
        raise TypeError(
            f"handler {self.name} returned {answer!r}, but listens only to "
            f"{listed(self.signals or ())}: a verdict decides on {listed(FAILURE_SIGNALS)}"
        )


def register_wrapper(wrapper: HandlerWrapper) -> None:
    """Register a wrapper for users' handlers, which receivers apply at their next update."""
    if wrapper not in _wrappers:
        _wrappers.append(wrapper)


def wrap_handler(handler: Handler) -> Handler:
    """Return a user's handler with wrapped functions, and a built-in one unchanged."""
    if handler.is_builtin:
        return handler
    for wrapper in _wrappers:
        in_background = handler.background is not None
        when = handler.when and wrapper(handler.when, False)
        handler = replace(handler, call=wrapper(handler.call, in_background), when=when)
    return handler


def sort_handlers(handlers: Iterable[Handler]) -> tuple[Handler, ...]:
    """Return handlers by descending priority, then by `order`; no two are registered alike."""
    by_registration: dict[Hashable, Handler] = {}
    for handler in sorted(handlers, key=lambda each: (-each.priority, each.order)):
        by_registration.setdefault(handler.registration, handler)
    return tuple(by_registration.values())


def run(handlers: Iterable[Handler], event: Event, failed: FailureHook) -> Verdict | None:
    """Run the handlers; return the first verdict, or None.

    The plan of that verdict is started when all handlers have run. If the plan raises, None is
    returned and the error is stored as Huey does.

    Args:
        handlers: The handlers that listen to the signal, in running order.
        event: The event.
        failed: Called with a handler that raised, the event and the exception.
    """
    verdict: Verdict | None = None
    winner: Handler | None = None
    for handler in handlers:
        try:
            if handler.filtered and not handler.matches(event):
                continue
            if handler.background is not None:
                handler.background.submit((handler, event, failed))
                continue
            answer = handler.call(event)
            if answer is not None:
                if answer.__class__ is not Verdict or not handler.decides:
                    handler.reject_verdict(answer)
                if verdict is None:
                    verdict, winner = answer, handler
        except BaseException as exc:
            if is_exit(exc):
                raise
            failed(handler, event, exc)
    if verdict is None or verdict.plan is None or winner is None:
        return verdict
    try:
        return verdict.plan.start()
    except BaseException as exc:
        if is_exit(exc):
            raise
        failed(winner, event, exc)
        return None


def _run_in_background(submitted: Submitted) -> None:
    handler, event, failed = submitted
    try:
        answer = handler.call(event)
        if answer is not None:
            handler.reject_verdict(answer)
    except BaseException as exc:
        if is_exit(exc):
            raise
        failed(handler, event, exc)


def _count_dropped(submitted: list[Submitted]) -> None:
    for handler, event, _ in submitted:
        event._context.increment((EVENTS_DROPPED, handler.name))


def _suppression(function: object) -> Any:
    """Return ``suppresses_lock_errors`` of a function, True or a method; None if it has none."""
    value = getattr(function, "suppresses_lock_errors", None)
    # `Mock` objects return a truthy Mock for every attribute, so test the type.
    return value if value is True or isinstance(value, MethodType) else None


def validate_options(
    signals: tuple[object, ...],
    exceptions: object,
    tasks: object,
    when: object,
    priority: object,
    background: object,
    name: object,
) -> dict[str, Any]:
    """Validate the arguments of ``on``; return them by name."""
    if name is not None and not (isinstance(name, str) and name.strip()):
        raise TypeError(f"name= of on() takes a string with something in it, got {short(name)}")
    return {
        "signals": validate_signals(signals),
        "exceptions": validate_exceptions(exceptions),
        "tasks": validate_tasks(tasks),
        "when": None if when is None else validate_call(when, "when= of on()"),
        "priority": validate_priority(priority),
        "background": validate_flag(background, "background= of on()"),
        "name": name,
    }


def make_handler(function: object, options: dict[str, Any]) -> Handler:
    """Return a handler.

    Args:
        function: The function.
        options: The result of `validate_options`.
    """
    checked = validate_handler(function)
    name = options["name"] or name_of(checked)
    if options["background"] and _suppression(checked) is not None:
        raise TypeError(f"{name} decides what is stored, so it cannot run with background=True")
    background = (
        Background(name, _run_in_background, _count_dropped) if options["background"] else None
    )
    filtered = any(options[each] is not None for each in ("exceptions", "tasks", "when"))
    signals = options["signals"]
    return Handler(
        checked,
        **{**options, "name": name, "background": background},
        order=next(_registration_numbers),
        filtered=filtered,
        decides=signals is None or bool(signals & FAILURE_SIGNALS),
        only_lock_errors=getattr(checked, "only_lock_errors", None) is True,
        call=checked,
    )
