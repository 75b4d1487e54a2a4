"""Recognise Django's own tasks, which all run as one task of Huey.

Huey's backend for ``django.tasks`` (or the package ``django-tasks``), the module
``huey.contrib.djhuey.tasks_backend`` since Huey 3.5, declares the task ``djtasks.run``. Its first
argument is the module path of the Django task's function. For the kit that path is the name of the
task.

Nothing here imports Django or the backend. A process that declares or runs Django tasks has
imported both, so what is needed of them is looked up in `sys.modules`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from typing import Any

BACKEND = "huey.contrib.djhuey.tasks_backend"
RUN_TASK = "djtasks.run"
"""The name of the class of the one Huey task, see `is_django_task`."""
RUN_TASK_NAME = f"{BACKEND}.{RUN_TASK}"
"""``module.name`` of that task, as Huey writes it into messages."""

LOGGERS = ("django.tasks", "django_tasks")
"""The loggers to which Django logs each task that ends, with the exception of one that failed."""
LOG_FUNCTION = "log_task_finished"
"""The function of Django that does that."""

_TASK_MODULES = ("django.tasks.base", "django_tasks.base")
_LONGEST_PATH = 300
# The fields of Huey's Message.
_NAME, _ARGS, _KWARGS = 1, 6, 7


def is_django_task(task: Any) -> bool:
    """Return whether a task of Huey runs a Django task."""
    cls = type(task)
    return cls.__name__ == RUN_TASK and cls.__module__ == BACKEND


def task_name(task: Any) -> str:
    """Return the name of a task: ``module.name``, or the module path of a Django task."""
    cls = type(task)
    name = f"{cls.__module__}.{cls.__name__}"
    return (module_path(task.args) if name == RUN_TASK_NAME else None) or name


def task_key(task: Any) -> type | str:
    """Return the class of a task; for a Django task its name."""
    return task_name(task) if is_django_task(task) else type(task)


def name_in_message(fields: tuple[Any, ...]) -> str:
    """Return the name of the task of a message, as `task_name` does for the task.

    Args:
        fields: The fields of Huey's ``Message``, read as data.
    """
    name = str(fields[_NAME])
    is_shim = name == RUN_TASK_NAME and len(fields) > _ARGS
    return (module_path(fields[_ARGS]) if is_shim else None) or name


def arguments_in_message(fields: tuple[Any, ...]) -> tuple[Any, Any]:
    """Return the arguments and keyword arguments of the task of a message, of any type.

    Args:
        fields: The fields of Huey's ``Message``, read as data.
    """
    args, kwargs = fields[_ARGS], fields[_KWARGS]
    is_shim = str(fields[_NAME]) == RUN_TASK_NAME and module_path(args) is not None
    return (args[1], args[2]) if is_shim and len(args) > 2 else (args, kwargs)


def module_path(args: Any) -> str | None:
    """Return the module path among the arguments of ``djtasks.run``; None if there is none."""
    path = args[0] if isinstance(args, (tuple, list)) and args else None
    # The text is a label of metrics, and is written into locks and records.
    if type(path) is not str or len(path) > _LONGEST_PATH or "." not in path:
        return None
    return path if all(map(str.isidentifier, path.split("."))) else None


def path_of_function(item: object) -> str | None:
    """Return the module path of a Django task, given as its object or as its function.

    A function counts if a Django task made from it is in the module of the function, because a
    function itself does not show that it is one of a Django task.
    """
    if is_task_object(item):
        return str(getattr(item, "module_path", None))
    if not inspect.isfunction(item):
        return None
    module = sys.modules.get(item.__module__)
    candidates: Iterable[Any] = list(vars(module).values()) if module is not None else ()
    has_task = any(is_task_object(each) and each.func is item for each in candidates)
    return f"{item.__module__}.{item.__qualname__}" if has_task else None


def is_task_object(item: object) -> bool:
    """Return whether `item` is what Django's decorator ``task`` returns."""
    modules = (sys.modules.get(name) for name in _TASK_MODULES)
    classes = tuple(cls for cls in (getattr(each, "Task", None) for each in modules) if cls)
    return issubclass(type(item), classes) if classes else False


def lock_errors_of(task: Any) -> Any:
    """Return the ``lock_errors`` that a task was declared with; None if it has none.

    Those of a Django task are an attribute of its function.
    """
    option = getattr(task, "lock_errors", None)
    if option is None and is_django_task(task):
        return getattr(_function(module_path(task.args)), "lock_errors", None)
    return option


def _function(path: str | None) -> Any:
    """Return the function of a module path, from the modules that are imported; else None."""
    module, _, name = (path or "").rpartition(".")
    found: Any = getattr(sys.modules.get(module), name, None)
    return found.func if is_task_object(found) else found
