"""Composable handlers on Huey's signals: lock errors go to metrics, not to the result store.

``install_handlers(huey, preset="quiet-locks")`` is all that most applications need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._install import AlreadyInstalled, get_kit, install_handlers, uninstall_handlers
    from .dispatch.handler import Handler
    from .event import Event
    from .kit import Kit
    from .presets import available_presets, register_preset
    from .registry import Registry, on
    from .verdict import DROP, KEEP, Verdict, expire

__version__ = "0.2.0"

__all__ = [
    "DROP",
    "KEEP",
    "AlreadyInstalled",
    "Event",
    "Handler",
    "Kit",
    "Registry",
    "Verdict",
    "available_presets",
    "expire",
    "get_kit",
    "install_handlers",
    "on",
    "register_preset",
    "uninstall_handlers",
]

_MODULES = ("_install", "dispatch.handler", "event", "kit", "presets", "registry", "verdict")
_PUBLIC_MODULES = ("handlers", "presets", "signals", "sinks", "upkeep")


if not TYPE_CHECKING:  # else type checkers would accept any name

    def __getattr__(name: str) -> Any:
        """Import a name, or a public module, when it is first used.

        pytest imports the plugin in `testing`, and so this file, in every run of every project.
        Huey and the kit take more time to import than pytest itself.
        """
        if name in __all__:
            modules = (import_module(f".{module}", __name__) for module in _MODULES)
            value = next(getattr(module, name) for module in modules if hasattr(module, name))
            globals()[name] = value
            return value
        if name in _PUBLIC_MODULES:
            return import_module(f".{name}", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
