"""Reset objects in a forked child: locks, threads and counts of the parent are not its own.

A lock that another thread of the parent held at the moment of the fork is held in the child
forever, because that thread does not exist there. So every object with a lock or a thread registers
here, and makes new ones before `os.fork` returns in the child. One hook of the interpreter serves
them all: such hooks can never be removed, while these objects come and go with their kits.

An object can also register a call before each fork, for example to close a connection that the
child would share.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class _Resettable(Protocol):
    def _after_fork(self) -> None: ...


class _Forkable(Protocol):
    def _before_fork(self) -> None: ...


_registered: WeakSet[_Resettable] = WeakSet()
_forkable: WeakSet[_Forkable] = WeakSet()


def reset_in_child(resettable: _Resettable) -> None:
    """Call ``resettable._after_fork()`` in every child forked while the object exists.

    The object is referenced weakly. The order of the calls is undefined.
    """
    _registered.add(resettable)


def call_before_fork(forkable: _Forkable) -> None:
    """Call ``forkable._before_fork()`` before every fork while the object exists.

    The jobs of the scheduler are paused at that moment. The object is referenced weakly.
    """
    _forkable.add(forkable)


def _call_all() -> None:
    for forkable in list(_forkable):
        forkable._before_fork()


def _reset_all() -> None:
    for resettable in list(_registered):
        resettable._after_fork()


if hasattr(os, "register_at_fork"):
    # The scheduler registers later, and the last hook before a fork is called first.
    os.register_at_fork(before=_call_all, after_in_child=_reset_all)
