"""The filters of ``on``: validated when they are given, applied to every event."""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Callable, Iterable
from fnmatch import translate
from typing import Any

from huey.api import Task, TaskWrapper

from .._checks import listed, name_of, nearest, short, validate_call
from ..huey_internals.django_tasks import path_of_function, task_name
from ..huey_internals.facts import SIGNALS, class_name

_COLLECTIONS = (list, tuple, set, frozenset)


def validate_signals(signals: Iterable[object]) -> frozenset[str] | None:
    """Return the signals to listen to, or None for all of them."""
    for signal in signals:
        if callable(signal):
            raise TypeError(
                f"on() takes names of signals, got the function {name_of(signal)}; "
                f"write @on() with parentheses to listen to every signal"
            )
        if not isinstance(signal, str):
            hint = "; write them one after the other" if isinstance(signal, _COLLECTIONS) else ""
            raise TypeError(f"on() takes names of signals, got {short(signal)}{hint}")
        if signal not in SIGNALS:
            raise ValueError(
                f"on() got the unknown signal {short(signal)}.{nearest(signal, SIGNALS)} "
                f"Huey's signals are {listed(SIGNALS)}"
            )
    return frozenset(map(str, signals)) or None


def validate_exceptions(
    exceptions: object, who: str = "exceptions= of on()"
) -> tuple[type[BaseException], ...] | None:
    """Return the exception classes to match, or None to match any event.

    Args:
        exceptions: The argument.
        who: The argument's name, for messages.
    """
    if exceptions is None:
        return None
    classes = exceptions if isinstance(exceptions, tuple) else (exceptions,)
    for each in classes:
        if not (isinstance(each, type) and issubclass(each, BaseException)):
            raise TypeError(f"{who} takes an exception class or a tuple of them, got {short(each)}")
    if not classes:
        raise ValueError(f"{who} got an empty tuple, which matches nothing")
    return classes


class TaskFilter:
    """A filter that matches tasks by globs over ``module.name`` and by task functions.

    A function of a Django task, or its object, matches by its module path. `spec` has the globs and
    the names of the task functions, sorted.

    Args:
        tasks: A glob, a task function, or a collection of these.
        who: The argument's name, for messages.
    """

    __slots__ = ("_classes", "_paths", "_pattern", "spec")

    def __init__(self, tasks: object, who: str = "tasks= of on()") -> None:
        items = list(tasks) if isinstance(tasks, _COLLECTIONS) else [tasks]
        if not items:
            raise ValueError(f"{who} got an empty list, which matches nothing")
        globs = [_validate_glob(item, who) for item in items if isinstance(item, str)]
        others = [item for item in items if not isinstance(item, str)]
        paths = [path_of_function(item) for item in others]
        self._paths = frozenset(path for path in paths if path is not None)
        self._classes = frozenset(
            _task_class(item, who) for item, path in zip(others, paths, strict=True) if path is None
        )
        self._pattern = re.compile("|".join(map(translate, globs))) if globs else None
        self.spec = (*sorted(globs), *sorted([*map(class_name, self._classes), *self._paths]))

    def __call__(self, task: object) -> bool:
        """Return whether the filter matches a task."""
        if type(task) in self._classes:
            return True
        name = task_name(task)
        return name in self._paths or bool(self._pattern and self._pattern.match(name))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaskFilter):
            return NotImplemented
        return self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        return self.spec, self._classes, self._paths


def validate_tasks(tasks: object) -> TaskFilter | None:
    """Return the filter for ``tasks=``, or None for any task."""
    return None if tasks is None else TaskFilter(tasks)


def validate_priority(priority: object) -> float:
    """Return `priority` if it is a number within the range of a float, and not NaN."""
    if isinstance(priority, bool) or not isinstance(priority, (int, float)):
        raise TypeError(f"priority= of on() takes a number, got {short(priority)}")
    if isinstance(priority, int) and abs(priority) > sys.float_info.max:
        raise ValueError(
            f"priority= of on() got {short(priority)}, which no float can hold; it takes "
            f"numbers from {-sys.float_info.max:.0e} to {sys.float_info.max:.0e}"
        )
    if math.isnan(priority):
        raise ValueError("priority= of on() takes a number, got nan, which has no order")
    return priority


def validate_handler(function: object) -> Callable[[Any], Any]:
    """Return `function` if it can be a handler."""
    if getattr(function, "makes_a_handler", None) is True or (
        isinstance(function, type) and hasattr(function, "suppresses_lock_errors")
    ):
        name = name_of(function)
        raise TypeError(f"the handler of on() is {name}, which makes one; call it: {name}(...)")
    return validate_call(function, "the handler of on()")


def _validate_glob(glob: str, who: str) -> str:
    fault = next((why for is_bad, why in _BAD_GLOBS if is_bad(glob)), None)
    if fault is not None:
        several = [each.strip() for each in glob.split(",")]
        text = fault.format(glob=glob, stripped=glob.strip(), several=several)
        raise ValueError(f"{who} got {short(glob)}, {text}")
    return glob


def _has_open_bracket(glob: str) -> bool:
    # fnmatch matches a '[' without its ']' literally, and no name contains a bracket.
    return "[" in re.sub(r"\[(?:!?\][^]]*|![^]]+|[^]!][^]]*)\]", "", glob)


_BAD_GLOBS: tuple[tuple[Callable[[str], object], str], ...] = (
    (lambda glob: not glob.strip(), "which matches nothing"),
    (
        lambda glob: glob != glob.strip(),
        "which matches nothing; write {stripped!r} without the space",
    ),
    (
        lambda glob: "," in glob,
        "which matches nothing because of the comma; write a list, {several}",
    ),
    (
        _has_open_bracket,
        "which matches nothing: its '[' is never closed; write '[[]' for the character itself",
    ),
    (lambda glob: "(?!)" in translate(glob), "which matches nothing: it has an empty range"),
    (
        lambda glob: glob.startswith(".") or glob.endswith(".") or ".." in glob,
        "which matches nothing: a 'module.name' has no empty part; write '*' for any part",
    ),
    (
        lambda glob: not set(glob) & set(".*?["),
        "which can match no 'module.name'; write '*.{glob}'",
    ),
)
"""Predicates over a glob, each with the text about a glob for which it is true."""


def _task_class(item: object, who: str) -> type[Any]:
    if isinstance(item, TaskWrapper):
        item = item.task_class
    if isinstance(item, type) and issubclass(item, Task):
        return item
    hint = ""
    if inspect.isfunction(item):
        hint = " (declare it with @huey.task() first, or as a Django task in its own module)"
    raise TypeError(
        f"{who} takes globs over 'module.name' and task functions, got {short(item)}{hint}"
    )
