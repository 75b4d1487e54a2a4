"""A forked child starts with fresh locks and counts of its own."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class _Reset(Protocol):
    def _after_fork(self) -> None: ...


_live: WeakSet[_Reset] = WeakSet()


def reset_in_child(thing: _Reset) -> None:
    """Call ``thing._after_fork()`` in every process forked from this one, while it lives."""
    _live.add(thing)


def _run() -> None:
    for thing in list(_live):
        thing._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_run)
