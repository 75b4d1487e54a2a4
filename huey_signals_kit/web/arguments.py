"""The arguments of tasks: hidden, unless the application gives a function that formats them."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

from .._checks import name_of, short, validate_synchronous
from ..upkeep import Explanation
from ..upkeep.explanation.result import is_short
from . import _text

FormatArguments = Callable[[str, "tuple[Any, ...]", "dict[str, Any]"], "str | None"]
"""Takes the name of a task, its arguments and its keyword arguments; returns what the web interface
shows of them, or None to hide them."""

_MAX_PARTS = 100_000
"""The most parts and characters of arguments that are formatted; more could take long."""
_MAX_TEXT, _MAX_LINES = 2_000, 40

_log = logging.getLogger("huey_signals_kit")


def validate_formatter(function: object) -> FormatArguments | None:
    """Return the argument ``format_arguments=`` if it can be called with a task.

    Raises:
        TypeError: It is not a function of three arguments, or it is a coroutine function, a
            generator function, a class or a task.
    """
    if function is None:
        return None
    what = "format_arguments="
    if not callable(function):
        raise TypeError(f"{what} must be a function (name, args, kwargs); got {short(function)}")
    validate_synchronous(function, what)
    try:
        inspect.signature(function).bind("", (), {})
    except TypeError:
        raise TypeError(
            f"{what} must take three arguments (the name of the task, its arguments and its "
            f"keyword arguments); got {name_of(function)}{inspect.signature(function)}"
        ) from None
    except ValueError:
        pass  # a builtin that hides its signature
    return function


def describe_arguments(formatter: FormatArguments | None, explanation: Explanation) -> str:
    """Return what the web interface shows of the arguments of a task; empty to show nothing.

    Args:
        formatter: The function that formats them; None to hide them.
        explanation: What is known of the task.
    """
    arguments, name = explanation.arguments, explanation.task_name or ""
    if formatter is None or arguments is None:
        return ""
    if not is_short([*arguments], _MAX_PARTS):
        return f"not shown: they have more than {_MAX_PARTS:,} parts or characters"
    try:
        text = formatter(name, *arguments)
    except BaseException as exc:  # such as SystemExit, which would end the search for tasks
        # The text of the error may have arguments.
        problem = f"raised {type(exc).__name__}"
    else:
        if text is None:
            return ""
        if isinstance(text, str):
            return _text.clean_lines(text, _MAX_TEXT, _MAX_LINES)
        problem = f"returned a {type(text).__name__} in place of a str"
    _log.warning(
        "format_arguments %s for the task %r; its arguments are not shown.", problem, name[:300]
    )
    return f"not shown: the function format_arguments {problem}"
