"""Look up whether a Huey has a task, as far as this process knows."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any


def is_declared(huey: Any, name: str) -> bool | None:
    """Return whether `huey` has the task `name`; None if this process cannot know.

    A process knows the tasks of the modules that it has imported. So a task is missing only if
    its module is imported and does not declare it, or if there is no such module.

    Args:
        huey: Any Huey.
        name: ``module.name``, as Huey registers a task.
    """
    declared = huey._registry._registry
    if name in declared:
        return True
    if not declared or name.partition(".")[0] == "__main__":
        return None
    return False if _is_imported_or_gone(name) else None


def _is_imported_or_gone(name: str) -> bool:
    """Return whether the longest prefix of `name` that is a module has been imported."""
    parts = name.split(".")
    for end in range(1, len(parts)):
        module = ".".join(parts[:end])
        if module in sys.modules:
            continue
        try:
            # This imports nothing, because the parent is imported.
            return find_spec(module) is None
        except (ImportError, ValueError, AttributeError):
            return True
    return True
