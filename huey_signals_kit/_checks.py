"""Bad input is refused with its name, its value and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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


def short(value: object) -> str:
    """``repr(value)``, at most 100 characters, whatever the value's repr does."""
    try:
        text = repr(value)
    except Exception as exc:
        text = f"<{type(value).__name__} whose repr raises {type(exc).__name__}>"
    return text if len(text) <= 100 else text[:97] + "..."


def name_of(function: object) -> str:
    """``module.qualname`` of a callable, or of its type when it has no name of its own."""
    named = function if hasattr(function, "__qualname__") else type(function)
    inner = getattr(function, "func", None)
    if callable(inner) and named is not function:  # functools.partial
        return name_of(inner)
    return f"{getattr(named, '__module__', None) or '?'}.{named.__qualname__}"
