"""The module ``huey_handlers`` of each app, imported as ``admin`` is."""

from __future__ import annotations

import importlib
import sys
import traceback
from importlib import import_module

from django.apps import apps
from django.utils.module_loading import module_has_submodule

from ...registry import default_registry
from ._problems import Problem

MODULE = "huey_handlers"


def import_handlers() -> list[Problem]:
    """Import the handlers of every app; return a problem for each module that raises.

    The handlers that such a module has registered before its error are removed; those of other
    modules that it has imported stay.
    """
    problems = []
    for app in apps.get_app_configs():
        before = list(default_registry)
        try:
            import_module(f"{app.name}.{MODULE}")
        except (Exception, SystemExit) as exc:  # user code runs here
            if isinstance(exc, ModuleNotFoundError) and not module_has_submodule(
                app.module, MODULE
            ):
                continue
            for handler in default_registry:
                # Python has removed each module whose import failed.
                if handler not in before and handler.function.__module__ not in sys.modules:
                    default_registry.remove(handler)
            problems.append(_describe(f"{app.name}.{MODULE}", exc))
    return problems


def _describe(module: str, exc: BaseException) -> Problem:
    frames = [
        frame
        for frame in traceback.extract_tb(exc.__traceback__)
        if "<frozen" not in frame.filename and frame.filename not in (__file__, importlib.__file__)
    ]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return Problem(
        "E010",
        f"The handlers in {module} are not registered: importing it raised "
        f"{type(exc).__name__}: {exc}{where}.",
        f"Correct {module}; 'python manage.py shell -c \"import {module}\"' shows the traceback.",
    )
