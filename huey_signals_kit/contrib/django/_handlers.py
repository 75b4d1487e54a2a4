"""The module ``huey_handlers`` of each app, imported as ``admin`` is."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from django.apps import apps
from django.utils.module_loading import module_has_submodule

from ...registry import default_registry
from ._problems import Problem, describe_raised, hint_to_correct

MODULE = "huey_handlers"


def import_handlers() -> list[Problem]:
    """Import the handlers of every app; return a problem for each module that raises.

    The handlers that such a module has registered before its error are removed; those of other
    modules that it has imported stay.
    """
    problems = []
    for app in apps.get_app_configs():
        before = list(default_registry)
        module = f"{app.name}.{MODULE}"
        exc = import_module_of(app, MODULE)
        if exc is None:
            continue
        for handler in default_registry:
            # Python has removed each module whose import failed.
            if handler not in before and handler.function.__module__ not in sys.modules:
                default_registry.remove(handler)
        problems.append(
            Problem(
                "E010",
                f"The handlers in {module} are not registered: importing it raised "
                f"{describe_raised(exc)}.",
                hint_to_correct(module),
            )
        )
    return problems


def import_module_of(app: Any, name: str) -> BaseException | None:
    """Import a module of an app, if it has the module; return what the module raised."""
    try:
        import_module(f"{app.name}.{name}")
    except (Exception, SystemExit) as exc:  # user code runs here
        is_missing = isinstance(exc, ModuleNotFoundError) and not module_has_submodule(
            app.module, name
        )
        return None if is_missing else exc
    return None
