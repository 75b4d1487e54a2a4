"""Removes one record from a ledger."""

from __future__ import annotations

from typing import Any

from ._backend import PROCESS, TOTALS
from ._open import open_shelf
from ._record import try_load
from ._totals import fold


def remove_record(huey: Any, name: str, dry_run: bool = False) -> bool:
    """Delete one record of the ledger of `huey`; return whether there was one.

    Args:
        huey: The Huey.
        name: The id of a process, whose counters go into the totals; or ``totals``.
        dry_run: Delete nothing.
    """
    shelf, key = open_shelf(huey), name if name == TOTALS else PROCESS + name
    raw = shelf.get(key)
    if raw is None or dry_run:
        return raw is not None
    if key == TOTALS or try_load(raw) is None:
        return shelf.delete_same(key, raw)
    fold(shelf, name)
    return shelf.get(key) is None
