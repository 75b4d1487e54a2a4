"""Removes one record from a ledger."""

from __future__ import annotations

from typing import Any

from ._backend import PROCESS, TOTALS
from ._open import open_backend
from ._record import try_load
from ._totals import fold


def remove_record(huey: Any, name: str, dry_run: bool = False) -> bool:
    """Delete one record of the ledger of `huey`; return whether there was one.

    Args:
        huey: The Huey.
        name: The id of a process, whose counters go into the totals; or ``totals``.
        dry_run: Delete nothing.
    """
    backend, key = open_backend(huey), name if name == TOTALS else PROCESS + name
    raw = backend.get(key)
    if raw is None or dry_run:
        return raw is not None
    if key == TOTALS or try_load(raw) is None:
        return backend.compare_and_delete(key, raw)
    fold(backend, name)
    return backend.get(key) is None
