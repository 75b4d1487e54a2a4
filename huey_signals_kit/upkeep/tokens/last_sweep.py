"""Store when the last sweep ended, for metrics and reports."""

from __future__ import annotations

import math

from ...store import KitStore

_KEY = "huey-signals:swept"


def store_sweep_end(store: KitStore, now: float) -> None:
    """Store the end of a sweep that was applied and not stopped.

    Args:
        store: The store of the kit's own data.
        now: Seconds since the epoch.
    """
    store.put(_KEY, repr(float(now)).encode("ascii"))


def last_sweep(store: KitStore) -> float | None:
    """Return the end of the last sweep, in seconds since the epoch; None if none is known.

    Args:
        store: The store of the kit's own data.
    """
    try:
        ended = float(store.get([_KEY])[0] or b"")
    except ValueError:  # none is stored, or the value is not in this form
        return None
    return ended if math.isfinite(ended) else None
