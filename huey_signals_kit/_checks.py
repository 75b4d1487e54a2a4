"""Bad input is refused with its name, its value and what is allowed."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import sys
from collections.abc import Callable, Iterable, Mapping


def listed(names: Iterable[object]) -> str:
    """``'a', 'b'``, sorted."""
    return ", ".join(repr(name) for name in sorted(map(str, names))) or "none"


def nearest(value: object, names: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` when *value* looks like one of *names*, else nothing."""
    if not isinstance(value, str):
        return ""
    by_fold = {name.casefold(): name for name in names}
    found = difflib.get_close_matches(value.casefold(), by_fold, n=1, cutoff=0.6)
    return f" Did you mean {by_fold[found[0]]!r}?" if found else ""


def short(value: object, length: int = 100) -> str:
    """``repr(value)``, at most *length* characters, whatever the value's repr does."""
    try:
        text = repr(value)
    except Exception as exc:
        text = f"<{type(value).__name__} whose repr raises {type(exc).__name__}>"
    return text if len(text) <= length else text[: length - 3] + "..."


def checked_seconds(value: object, who: str, *, most: float = math.inf) -> float:
    """*value*, if it is a number of seconds above 0 and up to *most*."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{who} takes a number of seconds, got {short(value)}")
    # NaN is not above anything, and an int may be beyond every float.
    if not (value > 0 and value <= min(most, sys.float_info.max)):
        bound = "" if most == math.inf else f" and at most {most:,.0f}"
        raise ValueError(f"{who} takes seconds above 0{bound}, got {short(value)}")
    return float(value)


def name_of(function: object) -> str:
    """``module.qualname`` of a callable, or of its type when it has no name of its own."""
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{getattr(named, '__module__', None) or '?'}.{named.__qualname__}"


def refuse_unknown(who: str, given: Mapping[str, object], function: Callable[..., object]) -> None:
    """`TypeError` if *given* has anything: the arguments that *function* does not know."""
    for name, value in given.items():
        parameters = inspect.signature(function).parameters.values()
        known = [each.name for each in parameters if each.kind == each.KEYWORD_ONLY]
        raise TypeError(
            f"{who} has no option {name!r} (given as {short(value)}).{nearest(name, known)} "
            f"Its options are {listed(known)}"
        )
