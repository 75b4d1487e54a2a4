"""The built-in handlers, from which presets are built; each is called with one event.

The preset names the signals, as in ``registry.add(drop_lock_errors, SIGNAL_LOCKED, SIGNAL_ERROR)``.
"""

from .breadcrumbs import leave_breadcrumb
from .counts import count_lock_skips, count_signals
from .locks import drop_lock_errors, expire_lock_errors
from .reschedule import RescheduleLocked
from .tokens import delete_spent_token

__all__ = [
    "RescheduleLocked",
    "count_lock_skips",
    "count_signals",
    "delete_spent_token",
    "drop_lock_errors",
    "expire_lock_errors",
    "leave_breadcrumb",
]
