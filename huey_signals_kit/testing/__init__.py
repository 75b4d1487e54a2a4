"""Tools for tests: a kit for the duration of a test, a recorder of what it does, and held locks.

The same tools are fixtures of pytest, see `pytest_plugin`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._counts import Count
    from ._held_lock import HeldLock, held_lock
    from ._installed import Installed, KitOptions, installed
    from ._recorder import Recorder, record
    from ._records import Announcement, DeletedToken, RecordedEvent, RecordedVerdict

__all__ = [
    "Announcement",
    "Count",
    "DeletedToken",
    "HeldLock",
    "Installed",
    "KitOptions",
    "RecordedEvent",
    "RecordedVerdict",
    "Recorder",
    "held_lock",
    "installed",
    "record",
]

_FILES = ("_held_lock", "_installed", "_recorder", "_records", "_counts")


if not TYPE_CHECKING:  # else type checkers would accept any name

    def __getattr__(name: str) -> Any:
        """Import a name when it is first used, because pytest imports this folder in every run."""
        if name in __all__:
            for file in _FILES:
                module = import_module(f".{file}", __name__)
                if hasattr(module, name):
                    return getattr(module, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
