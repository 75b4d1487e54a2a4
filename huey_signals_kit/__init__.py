"""Composable handlers on Huey's signals: lock errors go to metrics, not to the result store.

``install_handlers(huey, preset="quiet-locks")`` is all that most applications need.
"""

from ._install import AlreadyInstalled, get_kit, install_handlers, uninstall_handlers
from .dispatch.handler import Handler
from .event import Event
from .kit import Kit
from .presets import available_presets, register_preset
from .registry import Registry, on
from .verdict import DROP, KEEP, Verdict, expire

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
