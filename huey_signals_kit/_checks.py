"""Argument checks whose messages name the argument, its value and what is allowed."""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
from types import BuiltinMethodType, FunctionType, MethodType, WrapperDescriptorType
from typing import Any

from huey.api import Huey, TaskWrapper

from .huey_internals.facts import real_huey


def listed(names: Iterable[object]) -> str:
    """Return the names as text: sorted, quoted and separated by commas."""
    return ", ".join(repr(name) for name in sorted(map(str, names))) or "none"


def nearest(value: object, names: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` if `value` is similar to one of the names, else ``""``."""
    if not isinstance(value, str):
        return ""
    import difflib  # only a message about a mistake needs it

    by_casefold = {name.casefold(): name for name in names}
    matches = difflib.get_close_matches(value.casefold(), by_casefold, n=1, cutoff=0.6)
    return f" Did you mean {by_casefold[matches[0]]!r}?" if matches else ""


def short(value: object, length: int = 100) -> str:
    """Return at most `length` characters of ``repr(value)``, even if that raises."""
    try:
        text = repr(value)
    except Exception as exc:
        text = f"<{type(value).__name__} whose repr raises {type(exc).__name__}>"
    return text if len(text) <= length else text[: length - 3] + "..."


def validate_seconds(value: object, who: str, *, maximum: float = math.inf) -> float:
    """Return `value` if it is a number of seconds above 0.

    Args:
        value: The argument.
        who: The argument or function, for the message.
        maximum: The largest value that is allowed.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{who} takes a number of seconds, got {short(value)}")
    # NaN is not above anything, and an int may be beyond every float.
    if not (value > 0 and value <= min(maximum, sys.float_info.max)):
        bound = "" if maximum == math.inf else f" and at most {maximum:,.0f}"
        raise ValueError(f"{who} takes seconds above 0{bound}, got {short(value)}")
    return float(value)


def name_of(function: object) -> str:
    """Return the ``module.qualname`` of a callable, or of its type if it has no name."""
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, TaskWrapper):
        function = function.task_class
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{getattr(named, '__module__', None) or '?'}.{named.__qualname__}"


def refuse_unknown(who: str, given: Mapping[str, object], function: Callable[..., object]) -> None:
    """Raise `TypeError` if there are unknown keyword arguments.

    Args:
        who: The function, for the message.
        given: The unknown arguments.
        function: The function, for its options.
    """
    for name, value in given.items():
        parameters = inspect.signature(function).parameters.values()
        known = [each.name for each in parameters if _is_option(each)]
        raise TypeError(
            f"{who} has no option {name!r} (given as {short(value)}).{nearest(name, known)} "
            f"Its options are {listed(known)}"
        )


def _is_option(parameter: inspect.Parameter) -> bool:
    if parameter.kind == parameter.KEYWORD_ONLY:
        return True
    has_default = parameter.default is not parameter.empty
    return parameter.kind == parameter.POSITIONAL_OR_KEYWORD and has_default


_LEAVES = (FunctionType, type, BuiltinMethodType, WrapperDescriptorType)
"""Types of callables in which there is nothing to unwrap."""
_MAX_LEVELS = 100
"""The number of nested partials and methods that are unwrapped, at most."""
_UNRUN = (Awaitable, Generator, AsyncGenerator)
"""Types of objects that a call returns without running the body of the function."""


def validate_synchronous(function: object, what: str) -> None:
    """Raise `TypeError` if a call of `function` would only make an object and run no code.

    Such an object (a coroutine, a generator, an instance of a class) is always true, and the body
    of the function never runs.

    Args:
        function: The callable; partials, methods and objects with a `__call__` are unwrapped.
        what: The name of the argument, for the message.
    """
    called = _called_by(function)
    name = name_of(function)
    if isinstance(called, type):
        raise TypeError(
            f"{what} is the class {name}, whose call makes an object that is always true; "
            "give a function, or an instance of the class if the class has a method __call__"
        )
    if _is_of_huey(called):
        kind = "task" if isinstance(called, TaskWrapper) else "object of Huey"
        raise TypeError(
            f"{what} is the {kind} {name}, which takes its own arguments; "
            "give a plain function that calls it with the arguments it needs"
        )
    # By type, not isinstance: a mock reports the class of its spec.
    if not issubclass(type(called), FunctionType):
        return
    for is_kind, kind in (
        (inspect.iscoroutinefunction, "coroutine function"),
        (inspect.isasyncgenfunction, "asynchronous generator function"),
        (inspect.isgeneratorfunction, "generator function"),
    ):
        if is_kind(called):
            raise TypeError(
                f"{what} is the {kind} {name}, whose body would never run, because it is "
                "called synchronously; give a plain function (def, without await and yield)"
            )


def validate_not_deferred(answer: object, what: str) -> None:
    """Raise `TypeError` if `answer` is a coroutine or a generator, whose body has not run.

    A decorated function may return one; checks at registration cannot see inside a decorator.
    """
    if answer is not None and answer.__class__ is not bool and isinstance(answer, _UNRUN):
        raise TypeError(
            f"{what} returned {short(answer)}, whose body has not run; give a plain function"
        )


def truth_of(answer: object, what: str) -> bool:
    """Return whether a predicate's `answer` is true; raise `TypeError` for a coroutine."""
    validate_not_deferred(answer, what)
    return bool(answer)


def _called_by(function: object) -> object:
    """Return the innermost callable that runs when `function` is called, as far as can be seen."""
    for _ in range(_MAX_LEVELS):
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, MethodType):
            # `call_local` of a task calls its function; no other method of Huey takes an event.
            if _is_of_huey(function.__self__) and function.__name__ != "call_local":
                return function.__self__
            function = function.__func__
        else:
            call = getattr(type(function), "__call__", None)  # noqa: B004 - the type's own
            if issubclass(type(function), _LEAVES) or issubclass(type(call), _LEAVES[2:]):
                break
            if call is None or _is_of_huey(function):
                break
            function = call
    return function


def _is_of_huey(thing: object) -> bool:
    """Return whether `thing` is an object of Huey's, such as a task or a lock, but not a Huey."""
    return type(thing).__module__ == "huey.api" and not isinstance(thing, Huey)


def check_huey(huey: object, who: str) -> Any:
    """Return the Huey, unwrapped if `huey` is a lazy proxy of one.

    Args:
        huey: The argument.
        who: The function, for the message.

    Raises:
        TypeError: `huey` is not a Huey.
    """
    actual = real_huey(huey)
    if actual is not None:
        return actual
    hint = ""
    if isinstance(huey, Huey):
        hint = ", a proxy whose Huey cannot be found; give the Huey itself"
    elif isinstance(huey, Mapping):
        hint = (
            "; settings such as Django's HUEY = {...} are not a Huey: in the ready() of an "
            "AppConfig, install the kit on the Huey that djhuey makes from them: "
            "from huey.contrib.djhuey import HUEY; install_handlers(HUEY)"
        )
    elif isinstance(huey, type) and issubclass(huey, Huey):
        hint = f", which is a class; make an instance: {huey.__name__}('my-app')"
    for attribute in ("huey", "HUEY"):
        if real_huey(getattr(huey, attribute, None)) is not None:
            hint = f"; its attribute {attribute!r} is one"
    raise TypeError(f"{who} takes a Huey, got {short(huey)}{hint}")


def validate_flag(value: object, what: str) -> bool:
    """Return `value` if it is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{what} takes True or False, got {short(value)}")
    return value


def validate_call(function: object, what: str) -> Callable[[Any], Any]:
    """Return `function` if it can be called with one event, and its body runs in that call."""
    if not callable(function):
        raise TypeError(f"{what} is not callable: {short(function)}")
    validate_synchronous(function, what)
    try:
        inspect.signature(function).bind(object())
    except TypeError:
        raise TypeError(
            f"{what}, {name_of(function)}{inspect.signature(function)}, "
            "must take exactly one argument, the Event (event.task and event.exception are in it)"
        ) from None
    except ValueError:
        pass  # a builtin that hides its signature
    return function
